// Sound in (microphone or file) and sound out, at the protocol's 24 kHz.
export const RATE = 24000;

export class AudioProblem extends Error {}

export async function openMicrophone(context, take) {
  if (!navigator.mediaDevices) {
    throw new AudioProblem("The browser gives the microphone only to pages over https or on localhost. " +
      "Start the server with --tls_self_made FOLDER and open https://…, or ask with a sound file.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia(
      { audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 } });
  } catch (problem) {
    const texts = {
      NotAllowedError: "The microphone is not allowed for this page: allow it in the browser's address bar and try again.",
      NotFoundError: "No microphone was found: plug one in, or ask with a sound file.",
      NotReadableError: "The microphone is in use by another program.",
    };
    throw new AudioProblem(texts[problem.name] || `The microphone cannot be opened: ${problem.message}`);
  }
  await context.audioWorklet.addModule("worklet.js");
  const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  node.port.onmessage = (event) => take(event.data);
  context.createMediaStreamSource(stream).connect(node);
  return () => stream.getTracks().forEach((track) => track.stop());
}

// A file's samples at 24 kHz, one channel, as 16 bits, followed by silence in which the turn can end.
export async function readFile(file, silence_s = 3) {
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new AudioProblem(`${file.name} is not a sound file that this browser can read.`);
  }
  const offline = new OfflineAudioContext(1, Math.ceil((sound.duration + silence_s) * RATE), RATE);
  const source = new AudioBufferSourceNode(offline, { buffer: sound });
  source.connect(offline.destination);
  source.start();
  const samples = (await offline.startRendering()).getChannelData(0);
  return Int16Array.from(samples, (sample) => Math.max(-1, Math.min(1, sample)) * 32767);
}

export class Player {
  constructor(context, ended) {
    this.context = context;
    this.ended = ended; // called when a piece is over
    this.clear();
  }

  clear() {
    this.silence();
    this.waiting = null; // samples that are played after a pause
    this.ends = 0;
    this.sent = 0;
  }

  silence() {
    (this.playing || []).forEach(({ source }) => source.stop());
    this.playing = [];
  }

  busy() {
    return this.playing.length > 0 || (this.waiting || []).length > 0;
  }

  // What was not heard yet waits, and what comes.
  pause() {
    if (this.waiting) return;
    const now = this.context.currentTime;
    const left = this.playing.map(({ samples, begin }) => samples.subarray(Math.max(0, Math.round((now - begin) * RATE))));
    this.waiting = left.filter((samples) => samples.length);
    this.silence();
    this.sent = Math.max(0, this.sent - Math.max(0, this.ends - now));
    this.ends = now;
  }

  // Plays on; returns the samples that waited, each with the time at which it begins.
  resume() {
    const waiting = this.waiting || [];
    this.waiting = null;
    return waiting.map((samples) => [samples, this.play(samples)]);
  }

  // Plays 16-bit samples after those before; returns the time at which they begin, in the context's seconds, or null in
  // a pause.
  play(samples) {
    if (this.waiting) {
      this.waiting.push(samples);
      return null;
    }
    const buffer = this.context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(Float32Array.from(samples, (sample) => sample / 32768), 0);
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.context.destination);
    const begin = Math.max(this.ends, this.context.currentTime + 0.02);
    source.start(begin);
    source.onended = () => {
      this.playing = this.playing.filter((other) => other.source !== source);
      this.ended();
    };
    this.playing.push({ source, samples, begin });
    this.ends = begin + buffer.duration;
    this.sent += buffer.duration;
    return begin;
  }

  // Milliseconds of the present answer that were heard.
  heard() {
    return Math.max(0, Math.round(1000 * (this.sent - Math.max(0, this.ends - this.context.currentTime))));
  }
}

export function encode(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

export function decode(text) {
  return new Int16Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

export function level(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / Math.max(1, samples.length)) / 32768;
}
