/** Who can be called, who is there, and what kind of way to expect. */

import { Phone, Search, Star } from "lucide-react";
import { useEffect, useState } from "react";
import type { App } from "../app";
import type { Person } from "../net/protocol";
import { needsRelay } from "../path/describe";
import { useStore } from "../store";
import { Avatar } from "../ui/Avatar";
import { IconButton } from "../ui/Button";
import { ago } from "../ui/time";

const SEARCH_AFTER_MS = 250;

export function People({ app }: { app: App }) {
  const people = useStore(app.store, (state) => state.people);
  const [query, setQuery] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => void app.findPeople(query.trim()), SEARCH_AFTER_MS);
    return () => clearTimeout(timer);
  }, [app, query]);
  const wanted = people.filter((person) => matches(person, query));
  return (
    <div>
      <label className="relative block">
        <span className="sr-only">Search people</span>
        <Search aria-hidden className="absolute top-3 left-3 size-4 text-quiet" />
        <input
          type="search"
          value={query}
          onChange={(event) => setQuery(event.target.value)}
          placeholder="Search people"
          className="min-h-10 w-full rounded-xl border border-line bg-surface pr-3 pl-9 text-sm placeholder:text-quiet"
        />
      </label>
      <ul className="mt-2">
        {[...wanted].sort(order).map((person) => (
          <Row key={person.id} app={app} person={person} />
        ))}
      </ul>
      {wanted.length === 0 && (
        <p className="px-2 py-6 text-center text-sm text-quiet">
          {query
            ? "Nobody of that name."
            : "Nobody else is here yet. Open this page in another tab."}
        </p>
      )}
    </div>
  );
}

function Row({ app, person }: { app: App; person: Person }) {
  const live = useStore(app.store, ({ call }) => call !== null && call.phase !== "ended");
  const mine = useStore(app.store, (state) => state.nat);
  return (
    <li className="flex items-center gap-3 rounded-xl px-2 py-2 hover:bg-sunken">
      <span className="relative">
        <Avatar name={person.name} />
        {person.online && (
          <span
            aria-hidden
            className="absolute -right-0.5 -bottom-0.5 size-3 rounded-full border-2 border-surface bg-accent"
          />
        )}
      </span>
      <span className="min-w-0 flex-1">
        <span className="block truncate font-medium">{person.name}</span>
        <span className="block truncate text-xs text-quiet">
          {stateOf(person)}
          {person.online && needsRelay(mine, person.nat) && " · by the relay"}
        </span>
      </span>
      {person.kind !== "echo" && (
        <IconButton
          label={
            person.contact
              ? `Remove ${person.name} from contacts`
              : `Keep ${person.name} as a contact`
          }
          aria-pressed={Boolean(person.contact)}
          onClick={() => void app.setContact(person, !person.contact)}
        >
          <Star
            aria-hidden
            className={`size-4 ${person.contact ? "fill-accent text-accent" : ""}`}
          />
        </IconButton>
      )}
      <IconButton
        label={`Call ${person.name}`}
        look="quiet"
        disabled={live || !person.online}
        onClick={() => void app.calls.dial(person)}
      >
        <Phone aria-hidden className="size-4 text-accent" />
      </IconButton>
    </li>
  );
}

function stateOf({ kind, online, busy, last_seen }: Person): string {
  if (kind === "echo") return "Sends back what you say";
  if (online) return busy ? "In a call" : "Online";
  return last_seen === null ? "Not online" : `Last seen ${ago(last_seen)}`;
}

function matches({ name }: Person, query: string): boolean {
  return name.toLowerCase().includes(query.trim().toLowerCase());
}

/** The echo contact, then contacts, then who is online, each by name. */
function order(one: Person, other: Person): number {
  const rank = ({ kind, contact, online }: Person) =>
    kind === "echo" ? 0 : contact && online ? 1 : online ? 2 : contact ? 3 : 4;
  return rank(one) - rank(other) || one.name.localeCompare(other.name);
}
