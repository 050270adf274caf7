// Microphone samples in pieces of 40 ms, as 16 bits.
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(960);
    this.used = 0;
  }

  process(inputs) {
    const input = inputs[0][0];
    if (!input) return true;
    for (const sample of input) {
      this.piece[this.used++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.used === this.piece.length) {
        this.port.postMessage(this.piece.slice());
        this.used = 0;
      }
    }
    return true;
  }
}
registerProcessor("capture", Capture);
