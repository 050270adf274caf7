// The last seconds of both voices, and between them what the state head decided.
const SPAN_S = 20;

export class Timeline {
  constructor(canvas, now) {
    this.canvas = canvas;
    this.now = now;
    this.marks = { user: [], answer: [], state: [] };
    const draw = () => { this.draw(); requestAnimationFrame(draw); };
    draw();
  }

  // value: a level from 0 to 1, or a state; at and for how long, in seconds of `now`.
  add(lane, value, at, length) {
    this.marks[lane].push({ value, at, length });
    const old = this.now() - 2 * SPAN_S;
    while (this.marks[lane].length && this.marks[lane][0].at < old) this.marks[lane].shift();
  }

  // What was to be played from now on is not.
  cut() {
    this.marks.answer = this.marks.answer.filter((mark) => mark.at <= this.now());
  }

  draw() {
    const { width, height } = this.canvas;
    const pen = this.canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const ahead = 2;
    const end = this.now() + ahead;
    const x = (time) => width * (1 - (end - time) / SPAN_S);
    pen.clearRect(0, 0, width, height);
    const half = height * 0.42;
    const bars = (lane, middle) => {
      pen.fillStyle = colour(lane);
      for (const mark of this.marks[lane]) {
        const size = Math.max(1, half * Math.min(1, Math.sqrt(mark.value) * 1.6));
        pen.fillRect(x(mark.at), middle - size / 2, Math.max(1, width * mark.length / SPAN_S), size);
      }
    };
    bars("user", half / 2);
    bars("answer", height - half / 2);
    for (const mark of this.marks.state) {
      pen.fillStyle = colour(`state${mark.value}`);
      pen.fillRect(x(mark.at), half + 4, Math.max(1, width * mark.length / SPAN_S - 1), height - 2 * half - 8);
    }
    pen.fillStyle = colour("line");
    pen.fillRect(x(this.now()), 0, 1, height);
  }
}
