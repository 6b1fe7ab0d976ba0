/** What the words about a path are made of, from the state of the app. */

import { useMemo } from "react";
import type { App } from "../app";
import type { Circumstances } from "../path/describe";
import { useStore } from "../store";

export function useCircumstances(app: App): Circumstances | null {
  const view = useStore(app.store, (state) => state.call);
  const mine = useStore(app.store, (state) => state.policy);
  const myNat = useStore(app.store, (state) => state.nat);
  const relays = useStore(app.store, (state) => state.relays);
  return useMemo(() => {
    if (!view) return null;
    const { path: choice, peerNat, peer, direction } = view;
    const calls = direction === "out";
    return { choice, mine, myNat, peerNat, peer: peer.name, relays, calls };
  }, [view, mine, myNat, relays]);
}

/** natkit's words for the pair in use; null where they have not come, or are another pair's. */
export function useExplanation(app: App): string | null {
  const pair = useStore(app.store, (state) => state.measured?.seen.selected?.id);
  const explained = useStore(app.store, (state) => state.explained);
  return explained && explained.pair === pair ? explained.words : null;
}
