/** Somebody's initials in a circle; beside a name, so hidden from who listens. */

import { initials } from "./initials";

const SIZES = { small: "size-10 text-sm", large: "size-28 text-4xl" };

export function Avatar({ name, size = "small" }: { name: string; size?: keyof typeof SIZES }) {
  return (
    <span
      aria-hidden
      className={`inline-flex shrink-0 items-center justify-center rounded-full bg-accent-soft font-semibold text-accent ${SIZES[size]}`}
    >
      {initials(name)}
    </span>
  );
}
