/** The microphone, the devices, and how loud something is. */

import { useEffect, useState } from "react";
import { Failure } from "../failure";

export interface Devices {
  microphones: MediaDeviceInfo[];
  speakers: MediaDeviceInfo[];
}

/** Browsers that cannot choose a speaker (Safari, Firefox before 116) have no `setSinkId`. */
export const canChooseSpeaker = "setSinkId" in HTMLMediaElement.prototype;

/** Open the microphone; refuses with words that say what to do. */
export async function openMicrophone(deviceId: string | null): Promise<MediaStream> {
  if (!navigator.mediaDevices)
    throw new Failure(
      "Browsers give the microphone to secure pages only: open this one over https.",
    );
  const processing = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  const audio = deviceId ? { ...processing, deviceId: { ideal: deviceId } } : processing;
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new Failure(refusalWords(error), { cause: error });
  }
}

function refusalWords(error: unknown): string {
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
      return "The microphone is blocked for this page. Allow it in the browser's address bar.";
    case "NotFoundError":
      return "No microphone was found. Plug one in, then try again.";
    case "NotReadableError":
      return "Another program holds the microphone. Close it, then try again.";
    default:
      return "The microphone could not be opened.";
  }
}

export function closeMicrophone(stream: MediaStream | null): void {
  stream?.getTracks().forEach((track) => track.stop());
}

export async function listDevices(): Promise<Devices> {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const named = all.filter((device) => device.deviceId !== "");
  return {
    microphones: named.filter(({ kind }) => kind === "audioinput"),
    speakers: named.filter(({ kind }) => kind === "audiooutput"),
  };
}

/** The devices, kept fresh while somebody plugs and unplugs. */
export function useDevices(): Devices {
  const [devices, setDevices] = useState<Devices>({ microphones: [], speakers: [] });
  useEffect(() => {
    const look = () => void listDevices().then(setDevices);
    look();
    navigator.mediaDevices?.addEventListener("devicechange", look);
    return () => navigator.mediaDevices?.removeEventListener("devicechange", look);
  }, []);
  return devices;
}

let shared: AudioContext | null = null;

/** One for the page: browsers allow few, and start it only after somebody touched the page. */
export function audioContext(): AudioContext {
  shared ??= new AudioContext();
  if (shared.state === "suspended") void shared.resume();
  return shared;
}

/** How loud samples are, 0 to 1, on a scale of decibels from -60 to 0. */
export function loudness(samples: Float32Array): number {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / (samples.length || 1);
  if (power === 0) return 0;
  return Math.min(1, Math.max(0, 1 + (10 * Math.log10(power)) / 60));
}

/** Call `show` about 20 times a second with how loud `stream` is, until the returned stop. */
export function watchLevel(stream: MediaStream, show: (level: number) => void): () => void {
  if (stream.getAudioTracks().length === 0) return () => {};
  const context = audioContext();
  const source = context.createMediaStreamSource(stream);
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    show(loudness(samples));
  }, 50);
  return () => {
    clearInterval(timer);
    source.disconnect();
  };
}
