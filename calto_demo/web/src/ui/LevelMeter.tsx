/** How loud a stream is, as a bar that moves without drawing the component again. */

import { useEffect, useRef } from "react";
import { watchLevel } from "../call/media";

export function LevelMeter({ stream, label }: { stream: MediaStream | null; label: string }) {
  const bar = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    if (!stream) return;
    return watchLevel(stream, (level) => {
      if (bar.current) bar.current.style.transform = `scaleX(${level.toFixed(3)})`;
    });
  }, [stream]);
  return (
    <span className="flex items-center gap-3 text-xs text-quiet">
      <span className="w-14 truncate">{label}</span>
      <LevelBar bar={bar} />
    </span>
  );
}

export function LevelBar({ bar }: { bar: React.Ref<HTMLSpanElement> }) {
  return (
    <span aria-hidden className="h-1.5 flex-1 overflow-hidden rounded-full bg-sunken">
      <span
        ref={bar}
        className="block h-full origin-left rounded-full bg-accent"
        style={{ transform: "scaleX(0)" }}
      />
    </span>
  );
}
