import { AudioProblem, Player, RATE, decode, encode, level, openMicrophone, readFile } from "./audio.js";
import { Timeline } from "./timeline.js";

const find = (id) => document.getElementById(id);
const LOUD = 0.01; // level that counts as voice, for the latency shown
const STEP_S = 0.16;

let socket = null, context = null, player = null, closeMicrophone = null, fileTimer = null;
let answer = null; // of the response under way: its item and what was written of it
let heardLine = null;
const times = {};
const timeline = new Timeline(find("timeline"), () => performance.now() / 1000);
const now = () => performance.now() / 1000;

function fail(text) {
  find("error").textContent = text;
  find("error").hidden = !text;
}

function status(text, connected) {
  find("status").textContent = text;
  for (const id of ["stop", "send", "apply"]) find(id).disabled = !connected;
  find("start").disabled = connected;
}

const send = (event) => { if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(event)); };

function line(kind) {
  const part = document.createElement("p");
  part.className = kind;
  find("dialogue").append(part);
  return part;
}

function take(samples) {
  send({ type: "input_audio_buffer.append", audio: encode(samples) });
  const loudness = level(samples);
  timeline.add("user", loudness, now(), samples.length / RATE);
  if (loudness > LOUD) times.voice = now();
}

function settings() {
  const value = (id) => (find(id).value === "" ? null : Number(find(id).value));
  return {
    type: "realtime",
    instructions: find("instructions").value,
    max_output_tokens: value("tokens") ?? "inf",
    freeze_omni: {
      temperature: value("temperature"), top_p: value("top_p"), top_k: value("top_k"), states: true, cleared: true,
      pauses: true,
    },
  };
}

function show(part, from, to) {
  const cell = document.querySelector(`[data-part=${part}]`);
  cell.textContent = from && to && to >= from ? `${Math.round(1000 * (to - from))} ms` : "–";
}

function stopPlaying(tell) {
  if (!player || !answer) return;
  const heard = player.heard();
  player.clear();
  timeline.cut();
  if (tell && answer.item) {
    send({ type: "conversation.item.truncate", item_id: answer.item, content_index: 0, audio_end_ms: heard });
  }
}

// An answer's samples on the time line; begin: in the context's seconds.
function draw(samples, begin) {
  const start = now() + begin - context.currentTime;
  const piece = RATE * 0.04;
  for (let at = 0; at < samples.length; at += piece) {
    timeline.add("answer", level(samples.subarray(at, at + piece)), start + at / RATE, 0.04);
  }
}

// There is something to interrupt while an answer is made or played.
function offerInterrupt() {
  find("interrupt").disabled = !answer || answer.made && !player.busy();
}

const rules = {
  "session.created"(event) {
    if (!find("instructions").value) find("instructions").value = event.session.instructions;
    send({ type: "session.update", session: settings() });
    status("connected: speak", true);
  },
  "freeze_omni.state"(event) {
    timeline.add("state", event.state, now() - STEP_S, STEP_S);
  },
  "conversation.item.input_audio_transcription.delta"(event) {
    if (!heardLine) heardLine = line("user");
    heardLine.textContent += event.delta;
  },
  "conversation.item.input_audio_transcription.completed"(event) {
    if (!heardLine) heardLine = line("user");
    heardLine.textContent = event.transcript || "(no words)";
    if (!times.committed) heardLine.classList.add("dropped");
    heardLine = null;
  },
  "input_audio_buffer.committed"() {
    times.committed = true;
  },
  "response.created"() {
    times.decided = now();
    times.ended = times.committed ? times.voice : times.decided;
    times.text = times.audio = null;
    player.clear();
    timeline.cut();
    answer = { item: null, line: line("answer") };
    offerInterrupt();
  },
  "response.output_item.added"(event) {
    answer.item = event.item.id;
  },
  "response.output_audio_transcript.delta"(event) {
    times.text ??= now();
    answer.line.textContent += event.delta;
  },
  "response.output_audio.delta"(event) {
    const samples = decode(event.delta);
    const begin = player.play(samples);
    if (begin !== null) draw(samples, begin);
    if (times.audio) return;
    times.audio = now();
    show("decided", times.ended, times.decided);
    show("text", times.decided, times.text);
    show("audio", times.text, times.audio);
    show("total", times.ended, times.audio);
  },
  "output_audio_buffer.cleared"() {
    stopPlaying(true);
    if (answer) answer.line.classList.add("cut");
    offerInterrupt();
  },
  "freeze_omni.paused"() {
    player.pause();
    timeline.cut();
  },
  "freeze_omni.resumed"() {
    for (const [samples, begin] of player.resume()) draw(samples, begin);
  },
  "response.done"(event) {
    times.committed = false;
    answer.made = true;
    offerInterrupt();
    if (event.response.status === "cancelled") answer.line.classList.add("cut");
  },
  error(event) {
    const texts = { server_full: "The server is full. Try again in a moment.", response_cancel_not_active: "" };
    fail(texts[event.error.code] ?? event.error.message);
  },
};

async function connect() {
  fail("");
  context ??= new AudioContext({ sampleRate: RATE });
  await context.resume();
  player ??= new Player(context, offerInterrupt);
  const key = find("key").value;
  const protocols = ["realtime", ...(key ? [`openai-insecure-api-key.${key}`] : [])];
  status("connecting", false);
  const opened = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/realtime`, protocols);
  socket = opened;
  opened.onmessage = (message) => {
    const event = JSON.parse(message.data);
    const rule = rules[event.type];
    if (rule) rule(event);
  };
  opened.onclose = (event) => {
    if (socket !== opened) return;
    if (event.code !== 1000 && event.code !== 1005 && find("error").hidden) {
      fail(event.code === 1006
        ? "The connection was refused or lost. Is the server running, and the API key right?"
        : `The server has ended the session: ${event.reason || event.code}.`);
    }
    disconnect();
  };
  await new Promise((resolve, reject) => {
    opened.addEventListener("open", resolve);
    opened.addEventListener("close", () => reject(new AudioProblem("")));
  });
}

function disconnect() {
  if (closeMicrophone) closeMicrophone();
  clearInterval(fileTimer);
  const open = socket;
  closeMicrophone = socket = answer = heardLine = null;
  if (open) open.close(1000);
  if (player) player.clear();
  find("interrupt").disabled = true;
  status("not connected", false);
}

// An earlier session goes on: the page shows what failed and keeps the dialogue.
async function attempt(work) {
  const before = socket;
  try {
    await work();
  } catch (problem) {
    if (!(problem instanceof AudioProblem)) console.error(problem);
    if (problem.message) fail(problem.message);
    if (!socket || socket !== before) disconnect();
  }
}

find("start").onclick = () => attempt(async () => {
  await connect();
  closeMicrophone = await openMicrophone(context, take);
});

find("stop").onclick = disconnect;

find("interrupt").onclick = () => {
  send({ type: "response.cancel" });
  stopPlaying(true);
  offerInterrupt();
};

find("file").onchange = () => attempt(async () => {
  const file = find("file").files[0];
  if (!file) return;
  const samples = await readFile(file);
  fail("");
  if (!socket) await connect();
  clearInterval(fileTimer);
  const piece = RATE / 10, began = now();
  let sent = 0;
  fileTimer = setInterval(() => { // as fast as it would be spoken
    while (sent < samples.length && sent / RATE < now() - began) {
      take(samples.subarray(sent, sent + piece));
      sent += piece;
    }
    if (sent >= samples.length) clearInterval(fileTimer);
  }, 50);
});

find("type").onsubmit = (event) => {
  event.preventDefault();
  const text = find("text").value.trim();
  if (!text) return;
  if (!find("interrupt").disabled) find("interrupt").click();
  line("user").textContent = text;
  send({ type: "conversation.item.create", item: { type: "message", role: "user", content: [{ type: "input_text", text }] } });
  send({ type: "response.create" });
  find("text").value = "";
};

find("settings").onsubmit = (event) => {
  event.preventDefault();
  send({ type: "session.update", session: settings() });
};

fetch("/health").then((answer) => answer.json()).then((health) => {
  if (health.status !== "ok") fail("The server is not ready yet. Reload the page in a moment.");
  else if (health.sessions >= health.session_limit) fail("The server is full. Try again in a moment.");
}).catch(() => fail("The server does not answer."));
