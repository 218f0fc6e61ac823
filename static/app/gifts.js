// A gift can be heard and felt, when the settings say so. The sound is made here: no file to load.

import { store } from "./dom.js";

const VIBRATION_MS = [60, 40, 60];
// Two short notes upwards, in Hz.
const NOTES = [880, 1318.5];
const NOTE_S = 0.12;
const LOUDNESS = 0.15;
// A shower of gifts is one sound.
const QUIET_MS = 700;

let context = null;
let last = 0;

export const canVibrate = "vibrate" in navigator;

export function arrived(now = Date.now()) {
  if (now - last < QUIET_MS) return;
  last = now;
  if (store.get("sound")) play();
  if (store.get("vibration") && canVibrate) navigator.vibrate(VIBRATION_MS);
}

// Browsers let a page sound only after somebody has touched it; a switch in the settings is a touch.
export function play() {
  context ??= new AudioContext();
  context.resume();
  for (const [place, hertz] of NOTES.entries()) {
    const from = context.currentTime + place * NOTE_S;
    const note = new OscillatorNode(context, { type: "triangle", frequency: hertz });
    const volume = new GainNode(context, { gain: LOUDNESS });
    volume.gain.setTargetAtTime(0, from + NOTE_S / 2, NOTE_S / 3);
    note.connect(volume).connect(context.destination);
    note.start(from);
    note.stop(from + NOTE_S * 3);
  }
}

export const feel = () => canVibrate && navigator.vibrate(VIBRATION_MS);

document.addEventListener("pointerdown", () => context?.resume(), { passive: true });
