/** After a call: the way that it took, and why. */

import type { App } from "../app";
import { label, meaning } from "../path/describe";
import { useStore } from "../store";
import { useCircumstances, useExplanation } from "./circumstances";

export function PathSummary({ app }: { app: App }) {
  const measured = useStore(app.store, (state) => state.measured);
  const circumstances = useCircumstances(app);
  const explanation = useExplanation(app);
  const pair = measured?.seen.selected;
  if (!pair || !circumstances) return null;
  return (
    <div className="max-w-prose rounded-xl bg-sunken px-5 py-4 text-sm">
      <p className="font-semibold text-accent">{label(pair, circumstances)}</p>
      <p className="mt-1">{meaning(pair, circumstances)}</p>
      {explanation && <p className="mt-1 break-words">{explanation}</p>}
    </div>
  );
}
