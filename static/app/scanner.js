// Reading a QR code with the camera, where the browser can: it needs HTTPS and BarcodeDetector. Else
// the phone's own camera app opens the link.

import { byId } from "./dom.js";
import { say } from "./texts.js";

const LOOK_MS = 200;
const viewer = byId("scanner");
const video = byId("scanner-video");

export const canScan = "BarcodeDetector" in window && "mediaDevices" in navigator;

// What `codeIn` makes of the first QR code that has something; "" when it was closed before. Throws
// what can be said about a camera that does not open.
export async function scan(codeIn) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    throw new Error(say("no_camera"));
  }
  const detector = new BarcodeDetector({ formats: ["qr_code"] });
  let open = true;
  const close = () => {
    open = false;
  };
  byId("scanner-close").addEventListener("click", close, { once: true });
  viewer.addEventListener("cancel", close, { once: true });
  viewer.showModal();
  video.srcObject = stream;
  // A camera may take its time, and whoever closes this is not to wait for it.
  video.play().catch(() => {});
  try {
    while (open) {
      for (const { rawValue } of await look(detector)) {
        const code = codeIn(rawValue);
        if (code) return code;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return "";
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    viewer.close();
  }
}

// A picture that is not there yet, or cannot be read, is one without a code.
async function look(detector) {
  try {
    return await detector.detect(video);
  } catch {
    return [];
  }
}
