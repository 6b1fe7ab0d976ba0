/** The path card: which way a call goes, drawn and in words, and all ways that were tried. */

import type { Circumstances } from "../path/describe";
import { encryptionOf, isRelayed, kindOf, label, meaning } from "../path/describe";
import { drawing } from "../path/drawing";
import type { Snapshot } from "../path/stats";
import { PairsTable } from "./PairsTable";
import { PathDrawing } from "./PathDrawing";

interface Props {
  seen: Snapshot | null;
  circumstances: Circumstances;
  relayRttMs: number | null;
  /** In place of what the way means for who talks. */
  meaning?: string;
  /** natkit's words: why it is this way; null: they have not come. */
  explanation?: string | null;
  title?: string;
  narrow?: boolean;
}

export function PathCard(props: Props) {
  const { seen, circumstances, title = "Path of this call", narrow = false } = props;
  const pair = seen?.selected ?? null;
  return (
    <section aria-label={title} className="rounded-2xl border border-line bg-surface p-4 sm:p-5">
      <header className="flex flex-wrap items-center justify-between gap-x-4 gap-y-1">
        <h3 className="text-sm font-medium text-quiet">{title}</h3>
        {pair && (
          <p
            data-testid="path-label"
            data-path={isRelayed(kindOf(pair)) ? "relayed" : "direct"}
            className="rounded-full bg-accent-soft px-3 py-1 text-sm font-semibold text-accent"
          >
            {label(pair, circumstances)}
          </p>
        )}
      </header>
      {pair ? <Way {...props} narrow={narrow} pair={pair} seen={seen!} /> : <Looking />}
    </section>
  );
}

function Looking() {
  return <p className="py-8 text-center text-sm text-quiet">Looking for a way …</p>;
}

type WayProps = Props & { pair: NonNullable<Snapshot["selected"]>; seen: Snapshot };

function Way({ pair, seen, circumstances, relayRttMs, narrow = false, ...words }: WayProps) {
  const { hosts } = seen;
  const picture = drawing(pair, { ...circumstances, relayRttMs, hosts });
  return (
    <>
      <div className="my-4">
        <PathDrawing drawing={picture} encryption={encryptionOf(seen)} narrow={narrow} />
      </div>
      <p className="max-w-prose text-sm">{words.meaning ?? meaning(pair, circumstances)}</p>
      {words.explanation && (
        <p data-testid="path-explanation" className="mt-2 max-w-prose text-sm break-words">
          {words.explanation}
        </p>
      )}
      <div className="mt-3">
        <PairsTable pairs={seen.pairs} />
      </div>
    </>
  );
}
