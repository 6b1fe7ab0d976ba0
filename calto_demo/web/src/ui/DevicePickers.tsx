/** Which microphone, and, where the browser can, which speaker. */

import { canChooseSpeaker, useDevices } from "../call/media";
import type { Settings } from "../state";
import { Picker } from "./Choice";

interface Props {
  settings: Settings;
  change: (change: Partial<Settings>) => void;
}

/** What radix wants for "nothing chosen", which may not be the empty text. */
const USUAL = "usual";

export function DevicePickers({ settings, change }: Props) {
  const { microphones, speakers } = useDevices();
  return (
    <div className="grid gap-3 sm:grid-cols-2">
      <DevicePicker
        label="Microphone"
        devices={microphones}
        value={settings.microphone}
        choose={(microphone) => change({ microphone })}
      />
      {canChooseSpeaker && (
        <DevicePicker
          label="Speaker"
          devices={speakers}
          value={settings.speaker}
          choose={(speaker) => change({ speaker })}
        />
      )}
    </div>
  );
}

interface PickerProps {
  label: string;
  devices: readonly MediaDeviceInfo[];
  value: string | null;
  choose: (id: string | null) => void;
}

function DevicePicker({ label, devices, value, choose }: PickerProps) {
  const named = devices.filter(({ deviceId }) => deviceId !== "default");
  const options = [
    { value: USUAL, label: "The system's choice" },
    ...named.map(({ deviceId, label: name }, n) => ({
      value: deviceId,
      label: name || `${label} ${n + 1}`,
    })),
  ];
  const known = options.some((option) => option.value === value);
  return (
    <div className="min-w-0">
      <p className="mb-1 text-xs text-quiet">{label}</p>
      <Picker
        label={label}
        value={known && value ? value : USUAL}
        options={options}
        choose={(next) => choose(next === USUAL ? null : next)}
      />
    </div>
  );
}
