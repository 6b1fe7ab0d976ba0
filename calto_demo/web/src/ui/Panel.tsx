/** A dialog over the page (radix-ui), and a message across it. */

import { X } from "lucide-react";
import { Dialog } from "radix-ui";
import type { ReactNode } from "react";
import type { Notice as Words } from "../state";
import { IconButton } from "./Button";

interface Props {
  title: string;
  open: boolean;
  close: () => void;
  children: ReactNode;
}

export function Panel({ title, open, close, children }: Props) {
  return (
    <Dialog.Root open={open} onOpenChange={(wanted) => !wanted && close()}>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-40 bg-black/45" />
        <Dialog.Content
          aria-describedby={undefined}
          className="fixed inset-x-0 bottom-0 z-40 max-h-[92dvh] overflow-y-auto rounded-t-3xl bg-surface p-5 shadow-xl sm:inset-x-auto sm:top-1/2 sm:bottom-auto sm:left-1/2 sm:w-[min(46rem,calc(100vw-3rem))] sm:-translate-x-1/2 sm:-translate-y-1/2 sm:rounded-3xl sm:p-6"
        >
          <div className="mb-4 flex items-center justify-between gap-4">
            <Dialog.Title className="text-lg font-semibold">{title}</Dialog.Title>
            <Dialog.Close asChild>
              <IconButton label="Close">
                <X aria-hidden className="size-5" />
              </IconButton>
            </Dialog.Close>
          </div>
          {children}
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

export function NoticeBar({ notice, dismiss }: { notice: Words; dismiss: () => void }) {
  return (
    <div
      role="alert"
      className="flex items-center gap-3 rounded-xl bg-danger-soft py-1 pr-1 pl-4 text-sm text-ink"
    >
      <p className="flex-1 py-2">
        {notice.message} {notice.hint && <span className="text-quiet">{notice.hint}</span>}
      </p>
      <IconButton label="Dismiss this message" onClick={dismiss}>
        <X aria-hidden className="size-4" />
      </IconButton>
    </div>
  );
}
