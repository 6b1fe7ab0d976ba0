/** Draws a call's way: across where there is room, down on a phone. */

import { Cloud, type LucideIcon, Lock, Network, Router, Server, User } from "lucide-react";
import {
  type Drawing,
  type Leg,
  shortened,
  spoken,
  type Station,
  type StationKind,
} from "../path/drawing";
import { formatMs } from "./time";

const ICONS: Record<StationKind, LucideIcon> = {
  me: User,
  nat: Router,
  internet: Cloud,
  relay: Server,
  network: Network,
  peer: User,
};

interface Props {
  drawing: Drawing;
  encryption: string | null;
  /** In a narrow column it always goes down. */
  narrow?: boolean;
}

export function PathDrawing({ drawing, encryption, narrow = false }: Props) {
  if (narrow) return <Down drawing={drawing} encryption={encryption} className="" />;
  return (
    <>
      <Across drawing={drawing} encryption={encryption} />
      <Down drawing={drawing} encryption={encryption} className="sm:hidden" />
    </>
  );
}

type Part = Pick<Props, "drawing" | "encryption">;

const RADIUS = 22;
const WIDE = { width: 720, height: 192, y: 96, margin: 76 };

function Across({ drawing, encryption }: Part) {
  const { stations, legs } = drawing;
  const step = (WIDE.width - 2 * WIDE.margin) / (stations.length - 1);
  const x = (n: number) => WIDE.margin + n * step;
  return (
    <svg
      viewBox={`0 0 ${WIDE.width} ${WIDE.height}`}
      role="img"
      aria-label={spoken(drawing)}
      className="hidden w-full sm:block"
    >
      <Encryption from={x(0)} to={x(stations.length - 1)} words={encryption} />
      {legs.map((leg, n) => (
        <LegAcross
          key={n}
          leg={leg}

          from={x(n) + RADIUS + 5}
          to={x(n + 1) - RADIUS - 5}
        />
      ))}
      {stations.map((station, n) => (
        <g key={n}>
          <Sign station={station} x={x(n)} y={WIDE.y} />
          <Name station={station} x={x(n)} y={WIDE.y + 44} anchor="middle" most={20} />
        </g>
      ))}
      <text
        x={WIDE.width / 2}
        y={WIDE.height - 4}
        textAnchor="middle"
        className="fill-quiet text-[12px]"
      >
        {wholeWay(drawing)}
      </text>
    </svg>
  );
}

/** The bracket over it all: what is encrypted from end to end, the relay included. */
function Encryption({ from, to, words }: { from: number; to: number; words: string | null }) {
  if (!words) return null;
  const text = `Encrypted end to end · ${words}`;
  const half = text.length * 3.2 + 18;
  const middle = (from + to) / 2;
  return (
    <g>
      <path
        d={`M${from} 62 V34 Q${from} 24 ${from + 10} 24 H${to - 10} Q${to} 24 ${to} 34 V62`}
        className="fill-none stroke-line"
        strokeWidth={1.5}
      />
      <rect
        x={middle - half}
        y={12}
        width={2 * half}
        height={24}
        rx={12}
        className="fill-surface"
      />
      <Lock
        x={middle - half + 8}
        y={17}
        width={13}
        height={13}
        className="text-accent"
        aria-hidden
      />
      <text x={middle + 9} y={28} textAnchor="middle" className="fill-quiet text-[12px]">
        {text}
      </text>
    </g>
  );
}

function LegAcross({ leg, from, to }: { leg: Leg; from: number; to: number }) {
  const middle = (from + to) / 2;
  return (
    <g>
      <Wire x1={from} x2={to} y1={WIDE.y} y2={WIDE.y} relayed={leg.relayed} />
      <text x={middle} y={WIDE.y - 10} textAnchor="middle" className="fill-quiet text-[11px]">
        {leg.protocol}
      </text>
      <text
        x={middle}
        y={WIDE.y + 19}
        textAnchor="middle"
        className="fill-ink text-[11px] tabular-nums"
      >
        {rtt(leg)}
      </text>
    </g>
  );
}

const DEEP = { width: 320, x: 34, top: 30, step: 78 };

function Down({ drawing, encryption, className }: Part & { className: string }) {
  const { stations, legs } = drawing;
  const y = (n: number) => DEEP.top + n * DEEP.step;
  const height = y(stations.length - 1) + 90;
  return (
    <svg
      viewBox={`0 0 ${DEEP.width} ${height}`}
      role="img"
      aria-label={spoken(drawing)}
      className={`mx-auto w-full max-w-sm ${className}`}
    >
      {legs.map((leg, n) => (
        <g key={n}>
          <Wire
            x1={DEEP.x}
            x2={DEEP.x}
            y1={y(n) + RADIUS + 4}
            y2={y(n + 1) - RADIUS - 4}
            relayed={leg.relayed}
          />
          <text x={DEEP.x + 36} y={y(n) + DEEP.step / 2 + 6} className="fill-quiet text-[11px]">
            {[leg.protocol, rtt(leg)].filter(Boolean).join(" · ")}
          </text>
        </g>
      ))}
      {stations.map((station, n) => (
        <g key={n}>
          <Sign station={station} x={DEEP.x} y={y(n)} />
          <Name station={station} x={DEEP.x + 36} y={y(n) - 2} anchor="start" most={34} />
        </g>
      ))}
      <text x={DEEP.x + 36} y={height - 36} className="fill-quiet text-[12px]">
        {wholeWay(drawing)}
      </text>
      {encryption && (
        <g>
          <Lock
            x={DEEP.x - 7}
            y={height - 24}
            width={14}
            height={14}
            className="text-accent"
            aria-hidden
          />
          <text x={DEEP.x + 36} y={height - 13} className="fill-quiet text-[12px]">
            {`End to end: ${encryption}`}
          </text>
        </g>
      )}
    </svg>
  );
}

function Wire({
  relayed,
  ...ends
}: Record<"x1" | "x2" | "y1" | "y2", number> & { relayed: boolean }) {
  return (
    <g strokeLinecap="round">
      <line
        {...ends}
        className="stroke-accent"
        strokeOpacity={0.25}
        strokeWidth={relayed ? 6 : 3}
      />
      <line {...ends} className="flow stroke-accent" strokeWidth={3} strokeDasharray="1 11" />
    </g>
  );
}

function Sign({ station: { kind }, x, y }: { station: Station; x: number; y: number }) {
  const Icon = ICONS[kind];
  const end = kind === "me" || kind === "peer";
  const strong = kind === "relay";
  const circle = strong
    ? "fill-accent stroke-accent"
    : end
      ? "fill-accent-soft stroke-accent"
      : "fill-surface stroke-line";
  const icon = strong ? "text-on-accent" : end ? "text-accent" : "text-quiet";
  return (
    <g>
      <circle cx={x} cy={y} r={RADIUS} className={circle} strokeWidth={1.5} />
      <Icon x={x - 10} y={y - 10} width={20} height={20} className={icon} aria-hidden />
    </g>
  );
}

interface NameProps {
  station: Station;
  x: number;
  y: number;
  anchor: "start" | "middle";
  most: number;
}

function Name({ station: { title, detail }, x, y, anchor, most }: NameProps) {
  // Beside its circle, a name without an address stands in the middle.
  const alone = anchor === "start" && !detail;
  return (
    <text textAnchor={anchor} x={x} y={alone ? y + 7 : y} className="fill-ink">
      <title>{detail ? `${title}: ${detail}` : title}</title>
      <tspan className="text-[13px] font-semibold">{shortened(title, most)}</tspan>
      {detail && (
        <tspan x={x} dy={16} className="fill-quiet font-mono text-[10.5px]">
          {shortened(detail, most + 2)}
        </tspan>
      )}
    </text>
  );
}

function wholeWay({ rttMs }: Drawing): string {
  return rttMs === null ? "" : `${formatMs(rttMs)} there and back`;
}

function rtt({ rttMs, reach }: Leg): string {
  if (rttMs === null) return "";
  const how = { me: " from you", peer: " onward" };
  return formatMs(rttMs) + (reach === null ? "" : how[reach]);
}
