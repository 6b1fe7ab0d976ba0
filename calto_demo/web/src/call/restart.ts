/**
 * When to look for a new way while no audio comes through (ICE restart).
 *
 * The caller begins, and the callee only when nothing came of that, so that their offers rarely meet.
 */

const CALLER_WAITS_MS = 1500;
const CALLEE_WAITS_MS = 5000;
const AGAIN_AFTER_MS = 6000;

export class Restarter {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly restart: () => Promise<void>) {}

  down(failed: boolean, isCaller: boolean): void {
    const patience = isCaller ? CALLER_WAITS_MS : CALLEE_WAITS_MS;
    this.schedule(failed && isCaller ? 0 : patience);
  }

  up(): void {
    clearTimeout(this.timer);
  }

  /** The network has changed: do not wait until the silence is noticed. */
  now(wanted: boolean): void {
    if (wanted) this.schedule(0);
  }

  private schedule(delay: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      void this.restart().catch((error) => console.debug("restart", error));
      this.schedule(AGAIN_AFTER_MS);
    }, delay);
  }
}
