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
    const { path: choice, peerNat, peer } = view;
    return { choice, mine, myNat, peerNat, peer: peer.name, relays };
  }, [view, mine, myNat, relays]);
}
