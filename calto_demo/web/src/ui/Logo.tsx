/** Two people and the way between them. */

export function Logo() {
  return (
    <span className="inline-flex items-center gap-2.5 text-lg font-semibold tracking-tight">
      <svg viewBox="0 0 32 32" className="size-8" aria-hidden>
        <rect width="32" height="32" rx="9" className="fill-accent" />
        <g className="fill-on-accent stroke-on-accent" strokeLinecap="round">
          <path d="M7 20c4-11 14-11 18 0" fill="none" strokeWidth="2.6" />
          <circle cx="7" cy="21" r="3" stroke="none" />
          <circle cx="25" cy="21" r="3" stroke="none" />
        </g>
      </svg>
      Calto
    </span>
  );
}
