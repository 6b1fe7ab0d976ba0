/** After a call: the way that it took, in two lines. */

import type { App } from "../app";
import { explain, label } from "../path/describe";
import { useStore } from "../store";
import { useCircumstances } from "./circumstances";

export function PathSummary({ app }: { app: App }) {
  const measured = useStore(app.store, (state) => state.measured);
  const explanation = useStore(app.store, (state) => state.explanation);
  const circumstances = useCircumstances(app);
  const pair = measured?.seen.selected;
  if (!pair || !circumstances) return null;
  return (
    <div className="max-w-prose rounded-xl bg-sunken px-5 py-4 text-sm">
      <p className="font-semibold text-accent">{label(pair, circumstances.relays)}</p>
      <p className="mt-1">{explanation ?? explain(pair, circumstances)}</p>
    </div>
  );
}
