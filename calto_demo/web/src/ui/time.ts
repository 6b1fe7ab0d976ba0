/** Moments, as people say them. */

/** "14:05" today, "Tue 14:05" this week, else "3 Nov". */
export function when(seconds: number, now = new Date()): string {
  const then = new Date(seconds * 1000);
  const clock = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (then.toDateString() === now.toDateString()) return clock;
  const days = (now.getTime() - then.getTime()) / 86_400_000;
  if (days < 6) return `${then.toLocaleDateString([], { weekday: "short" })} ${clock}`;
  return then.toLocaleDateString([], { day: "numeric", month: "short" });
}

export function ago(seconds: number, now = Date.now() / 1000): string {
  const minutes = Math.floor((now - seconds) / 60);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ago`;
  return `${Math.floor(hours / 24)} d ago`;
}

/** A short duration; below ten with a tenth, since there it matters. */
export function formatMs(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}
