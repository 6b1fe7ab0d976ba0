/** Buttons: one look for each thing they mean. */

import type { ComponentProps, ReactNode } from "react";

const LOOKS = {
  primary: "bg-accent text-on-accent hover:opacity-90",
  quiet: "bg-sunken text-ink hover:bg-line",
  bare: "text-quiet hover:bg-sunken hover:text-ink",
  danger: "bg-danger-fill text-white hover:opacity-90",
};

type Look = keyof typeof LOOKS;

const SHARED =
  "inline-flex items-center justify-center gap-2 font-medium transition-colors " +
  "disabled:cursor-not-allowed disabled:opacity-45";

export function Button({
  look = "quiet",
  className = "",
  ...rest
}: ComponentProps<"button"> & { look?: Look }) {
  const shape = "min-h-10 rounded-xl px-4 text-sm";
  return (
    <button type="button" className={`${SHARED} ${shape} ${LOOKS[look]} ${className}`} {...rest} />
  );
}

/** A round button with a picture, and its name for whoever does not see it. */
export function IconButton({
  look = "bare",
  label,
  className = "",
  children,
  ...rest
}: ComponentProps<"button"> & { look?: Look; label: string }) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={`${SHARED} size-10 shrink-0 rounded-full ${LOOKS[look]} ${className}`}
      {...rest}
    >
      {children}
    </button>
  );
}

/** The large buttons of a call, with their name below. */
export function CallButton({
  look = "quiet",
  label,
  children,
  ...rest
}: ComponentProps<"button"> & { look?: Look; label: string; children: ReactNode }) {
  return (
    <button
      type="button"
      className="group flex w-20 flex-col items-center gap-1.5 text-xs text-quiet disabled:opacity-45"
      {...rest}
    >
      <span className={`${SHARED} size-14 rounded-full ${LOOKS[look]}`} aria-hidden>
        {children}
      </span>
      {label}
    </button>
  );
}
