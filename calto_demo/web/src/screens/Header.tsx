/** The bar at the top: whether the server hears us, the check, and the way out. */

import { LogOut } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import type { App } from "../app";
import type { LinkState } from "../net/socket";
import type { User } from "../net/protocol";
import { useStore } from "../store";
import { Avatar } from "../ui/Avatar";
import { Logo } from "../ui/Logo";

const LINK: Record<LinkState, string> = {
  open: "Online",
  connecting: "Connecting …",
  waiting: "Server out of reach, trying again …",
  closed: "Signed out",
  replaced: "Open in another tab",
  crowded: "Open in too many tabs",
};

export function Header({ app, me }: { app: App; me: User }) {
  const link = useStore(app.store, (state) => state.link);
  return (
    <header className="flex items-center justify-between gap-4 px-4 py-3 sm:px-6">
      <Logo />
      <div className="flex min-w-0 items-center gap-3">
        <p role="status" className="flex min-w-0 items-center gap-2 text-sm text-quiet">
          <span
            aria-hidden
            className={`size-2 shrink-0 rounded-full ${link === "open" ? "bg-accent" : "bg-warning"}`}
          />
          <span className={`truncate ${link === "open" ? "max-sm:sr-only" : ""}`}>
            {LINK[link]}
          </span>
        </p>
        <Menu app={app} me={me} />
      </div>
    </header>
  );
}

function Menu({ app, me }: { app: App; me: User }) {
  return (
    <DropdownMenu.Root>
      <DropdownMenu.Trigger className="rounded-full hover:opacity-80">
        <Avatar name={me.name} />
        <span className="sr-only">{me.name}, your account</span>
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align="end"
          sideOffset={6}
          className="z-50 min-w-56 rounded-xl border border-line bg-surface p-1 shadow-lg"
        >
          <DropdownMenu.Label className="px-3 py-2">
            <span className="block truncate font-medium">{me.name}</span>
            <span className="block text-xs text-quiet">
              {me.kind === "guest" ? "Guest" : "Account"}
            </span>
          </DropdownMenu.Label>
          <DropdownMenu.Separator className="my-1 h-px bg-line" />
          <DropdownMenu.Item
            onSelect={() => void app.signOut()}
            className="flex min-h-10 cursor-pointer items-center gap-2 rounded-lg px-3 text-sm outline-none data-[highlighted]:bg-accent-soft"
          >
            <LogOut aria-hidden className="size-4" /> Sign out
          </DropdownMenu.Item>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
