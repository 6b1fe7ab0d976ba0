/** Chooses one of a few, or one of a list (radix-ui below, our look above). */

import { Check, ChevronDown } from "lucide-react";
import { RadioGroup, Select } from "radix-ui";

interface Option<Value extends string> {
  value: Value;
  label: string;
  hint?: string;
}

interface Props<Value extends string> {
  label: string;
  value: Value;
  options: readonly Option<Value>[];
  choose: (value: Value) => void;
}

export function Segments<Value extends string>({ label, value, options, choose }: Props<Value>) {
  return (
    <RadioGroup.Root
      aria-label={label}
      value={value}
      onValueChange={(next) => choose(next as Value)}
      className="grid auto-cols-fr grid-flow-col gap-1 rounded-xl bg-sunken p-1"
    >
      {options.map((option) => (
        <RadioGroup.Item
          key={option.value}
          value={option.value}
          className="min-h-9 rounded-lg px-2 text-sm text-quiet data-[state=checked]:bg-raised data-[state=checked]:font-medium data-[state=checked]:text-ink data-[state=checked]:shadow-sm"
        >
          {option.label}
        </RadioGroup.Item>
      ))}
    </RadioGroup.Root>
  );
}

export function Picker<Value extends string>({ label, value, options, choose }: Props<Value>) {
  return (
    <Select.Root value={value} onValueChange={(next) => choose(next as Value)}>
      <Select.Trigger
        aria-label={label}
        className="flex min-h-10 w-full min-w-0 items-center justify-between gap-2 rounded-xl border border-line bg-surface px-3 text-left text-sm"
      >
        <span className="truncate">
          <Select.Value />
        </span>
        <ChevronDown aria-hidden className="size-4 shrink-0 text-quiet" />
      </Select.Trigger>
      <Select.Portal>
        <Select.Content
          position="popper"
          sideOffset={4}
          className="z-50 max-w-[90vw] min-w-(--radix-select-trigger-width) overflow-hidden rounded-xl border border-line bg-surface p-1 shadow-lg"
        >
          <Select.Viewport>
            {options.map((option) => (
              <Select.Item
                key={option.value}
                value={option.value}
                className="flex min-h-9 items-center justify-between gap-3 rounded-lg px-2 text-sm outline-none data-[highlighted]:bg-accent-soft"
              >
                <Select.ItemText>{option.label}</Select.ItemText>
                <Select.ItemIndicator>
                  <Check aria-hidden className="size-4 text-accent" />
                </Select.ItemIndicator>
              </Select.Item>
            ))}
          </Select.Viewport>
        </Select.Content>
      </Select.Portal>
    </Select.Root>
  );
}
