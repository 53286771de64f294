// The page's side of Player (player.py): one clock per player, any number of views of it.
// Every message is numbered and answered by a read-out with its number. At most MOST_AHEAD messages are unanswered at a time,
// so nothing piles up; one alone would do up to 15 FPS, but an answer takes some 50 ms through the notebook server.

const MOST_AHEAD = 4;
const PATIENCE = 3000;                      // milliseconds without an answer before the view says so
const FLASH = 1500;                         // milliseconds that the end of an episode stays in view
const SYMBOLS = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", " ": "space" };

function element(tag, className, parent, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

class Clock {
  constructor(model) {
    this.model = model;
    this.held = [];                         // keys that are down, the latest last
    this.tapped = null;                     // pressed since the last step, perhaps released already
    this.views = new Set();                 // the views that are on screen
    this.sent = model.get("readout").tick;  // a page that was reloaded goes on where the kernel is
    this.lastAnswer = 0;
    this.next = null;                       // asked for by hand while too much was unanswered; only the latest is kept
    this.lastStep = 0;
    this.due = 0;                           // when the last tick should have been sent
    this.timer = null;
    this.onReadout = () => {
      this.lastAnswer = performance.now();
      if (this.next && this.unanswered() < MOST_AHEAD) this.ask(...this.next);
      this.schedule();
    };
    this.onChange = () => this.schedule();
    model.on("change:readout", this.onReadout);
    model.on("change:playing", this.onChange);
    model.on("change:fps", this.onChange);
  }

  unanswered() {
    return this.sent - this.model.get("readout").tick;
  }

  isLate() {
    return this.unanswered() > 0 && performance.now() - Math.max(this.lastStep, this.lastAnswer) > PATIENCE;
  }

  close() {
    clearTimeout(this.timer);
    this.model.off("change:readout", this.onReadout);
    this.model.off("change:playing", this.onChange);
    this.model.off("change:fps", this.onChange);
  }

  schedule() {
    clearTimeout(this.timer);
    const fps = this.model.get("fps");
    if (!this.model.get("playing") || this.views.size === 0 || this.unanswered() >= Math.min(MOST_AHEAD, Math.ceil(fps / 15))) return;
    const now = performance.now(), period = 1000 / fps;
    const due = Math.max(this.due + period, now - period);      // a late timer is made up for, a stop is not
    this.timer = setTimeout(() => {
      this.due = due;
      this.step("tick", this.held[this.held.length - 1]);
      this.schedule();
    }, due - now);
  }

  step(kind, key = null) {
    this.ask(kind, this.tapped || key);
    this.tapped = null;
  }

  ask(kind, key = null) {
    if (this.unanswered() >= MOST_AHEAD) { this.next = [kind, key]; return; }
    this.next = null;
    this.sent += 1;
    this.lastStep = performance.now();
    this.model.send({ kind, key, tick: this.sent });
  }

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  press(key) {
    if (!this.held.includes(key)) this.held.push(key);
    this.tapped = key;
    if (!this.model.get("playing")) this.step("step");
  }

  release(key) {
    this.held = this.held.filter((other) => other !== key);
  }

  releaseAll() {
    this.held = [];
    this.tapped = null;
  }

  passControls() {
    const drivers = this.model.get("drivers");
    const other = this.model.get("controller") === "human" ? (drivers.includes("policy") ? "policy" : "random") : "human";
    if (drivers.includes(other)) this.set("controller", other);
  }
}

async function paint(canvas, bytes, scale, turn) {
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  if (turn < Number(canvas.dataset.turn || 0)) return;          // a later picture was ready sooner
  canvas.dataset.turn = turn;
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    if (scale) canvas.style.width = `${bitmap.width * scale}px`;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

export default () => {
  let clock;
  return {
    initialize({ model }) {
      clock = new Clock(model);
      return () => clock.close();
    },
    render({ model, el }) {
      return view(model, clock, el);
    },
  };
};

function view(model, clock, el) {
  const root = element("div", "puffer-player", el);
  const stage = element("div", "stage", root);
  const screen = element("div", "screen", stage);
  screen.tabIndex = 0;
  screen.setAttribute("role", "application");
  screen.setAttribute("aria-label", "game picture; click it, then play with the keys below it");
  screen.dataset.lmSuppressShortcuts = "true";          // the notebook's own keys (a, d d, arrows) stay out of the game
  const canvas = element("canvas", "picture", screen);
  const cover = element("div", "cover", screen, "► click to play");
  const eye = element("div", "eye", stage);
  element("div", "", eye, "what the agent sees");
  const eyeCanvas = element("canvas", "", eye);
  const eyeValues = element("pre", "", eye);

  const notice = element("div", "notice", root);
  const bar = element("div", "bar", root);
  const button = (name, label, title, action, parent = bar) => {
    const made = element("button", name, parent, label);
    made.type = "button";
    made.title = title;
    made.addEventListener("click", (event) => {
      action();
      if (event.detail) screen.focus({ preventScroll: true });  // by mouse: the next thing wanted is the game's keys
    });
    return made;
  };
  const play = button("play", "", "play or pause (space)", () => clock.set("playing", !model.get("playing")));
  button("once", "Step", "one step (n)", () => stepOnce());
  button("restart", "Restart", "a new game (r)", () => clock.ask("restart"));
  const who = element("span", "who", bar);
  who.setAttribute("role", "group");
  who.setAttribute("aria-label", "who plays");
  const people = { human: "You", policy: "Policy", random: "Random" };
  const drivers = Object.fromEntries(model.get("drivers").map((name) =>
    [name, button(name, people[name], "who plays (p)", () => clock.set("controller", name), who)]));
  const speed = element("label", "speed", bar, "speed");
  const slider = element("input", "", speed);
  Object.assign(slider, { type: "range", min: 2, max: 60, step: 1 });
  const speedText = element("output", "", speed);
  slider.addEventListener("input", () => clock.set("fps", Number(slider.value)));
  const eyeLabel = element("label", "", bar);
  const eyeBox = element("input", "observe", eyeLabel);
  eyeBox.type = "checkbox";
  eyeLabel.append("agent's view");
  eyeBox.addEventListener("change", () => clock.set("show_observation", eyeBox.checked));

  const numbers = element("div", "numbers", root);
  const field = Object.fromEntries(["step", "action", "reward", "return", "length", "episodes"].map((name) => {
    const pair = element("span", "", numbers, `${name} `);
    const value = element("b", "", pair);
    value.dataset.field = name;
    return [name, value];
  }));
  const legend = element("div", "keys", root);
  for (const [keys, words] of model.get("legend")) {
    const row = element("span", "", legend);
    for (const key of keys) element("kbd", "", row, SYMBOLS[key] || key).dataset.key = key;
    row.append(` ${words}`);
  }
  const error = element("div", "error", root);
  error.setAttribute("role", "alert");

  const gameKeys = new Set(model.get("legend").flatMap(([keys]) => keys));
  const paused = `paused: ${gameKeys.has(" ") ? "a click" : "space"} goes on, ${gameKeys.has("n") ? "" : "n or "}a game key makes one step`;
  const stepOnce = () => {
    if (model.get("playing")) clock.set("playing", false);
    clock.step("step");
  };
  const shortcuts = {
    " ": () => clock.set("playing", !model.get("playing")),
    n: stepOnce,
    r: () => clock.ask("restart"),
    p: () => clock.passControls(),
  };
  const known = (event) => {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey || event.altKey) return null;
    return gameKeys.has(event.key) ? event.key : gameKeys.has(key) || shortcuts[key] ? key : null;
  };
  screen.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { screen.blur(); return; }
    const key = known(event);
    if (key === null) return;
    event.preventDefault();
    event.stopPropagation();
    if (gameKeys.has(key)) clock.press(key);
    else if (!event.repeat) shortcuts[key]();
  });
  screen.addEventListener("keyup", (event) => {
    const key = known(event);
    if (key !== null) { event.stopPropagation(); clock.release(key); }
  });
  screen.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    screen.focus({ preventScroll: true });
    if (!model.get("playing") && !model.get("readout").error) clock.set("playing", true);
  });
  screen.addEventListener("mousedown", (event) => event.stopPropagation());   // the notebook would take the focus back
  screen.addEventListener("focus", () => drawNotice());
  screen.addEventListener("blur", () => { clock.releaseAll(); drawNotice(); });

  let turn = 0, ending = "", shownEpisodes = model.get("readout").episodes, flashTimer = null;
  function drawPicture() {
    turn += 1;
    const bytes = model.get("picture");
    if (bytes && bytes.byteLength) paint(canvas, bytes, model.get("scale"), turn);
    const seen = model.get("seen");
    eyeCanvas.hidden = !(seen && seen.byteLength);
    if (!eyeCanvas.hidden) paint(eyeCanvas, seen, null, turn);
  }
  function drawReadout() {
    const now = model.get("readout");
    if (now.step === undefined) return;                 // the kernel's first numbers are still on their way
    const number = (value) => Number.isInteger(value) ? String(value) : value.toFixed(2);
    for (const name of Object.keys(field)) field[name].textContent = name === "action" ? now.action : number(now[name]);
    error.textContent = now.error;
    if (now.ended && now.episodes > shownEpisodes) {
      ending = `episode ${now.episodes} over: return ${number(now.last_return)} in ${now.last_length} steps`;
      root.classList.add("flash");
      clearTimeout(flashTimer);
      flashTimer = setTimeout(() => { ending = ""; root.classList.remove("flash"); drawNotice(); }, FLASH);
      drawNotice();
    }
    shownEpisodes = now.episodes;
    drawNotice();
    drawEye();
  }
  function drawEye() {
    const now = model.get("readout");
    eye.hidden = !model.get("show_observation");
    eyeValues.textContent = now.values.map((value) => value.toFixed(3).padStart(8)).join("\n")
      + (now.more ? `\n     … and ${now.more} more` : "");
  }
  function drawNotice() {
    const playing = model.get("playing"), focused = document.activeElement === screen;
    cover.hidden = playing || focused || model.get("readout").step > 0;
    notice.textContent = clock.isLate() ? "waiting for the kernel: it is busy, or was restarted (then run the cell again)"
      : ending ? ending
      : !cover.hidden ? " "
      : !playing ? (focused ? paused : "paused: click the picture to go on")
      : model.get("controller") !== "human" ? `played ${model.get("controller") === "policy" ? "by the policy" : "at random"}`
      : focused ? "you play" : "click the picture to give it your keys";
  }
  function drawControls() {
    const playing = model.get("playing");
    play.textContent = playing ? "❚❚ Pause" : "► Play";
    slider.value = model.get("fps");
    speedText.textContent = `${model.get("fps")} FPS`;
    eyeBox.checked = model.get("show_observation");
    for (const [name, made] of Object.entries(drivers)) made.setAttribute("aria-pressed", String(model.get("controller") === name));
    drawNotice();
    drawEye();
  }
  const handlers = [
    ["picture", drawPicture], ["seen", drawPicture], ["readout", drawReadout],
    ...["playing", "fps", "controller", "show_observation"].map((name) => [name, drawControls]),
  ].map(([name, action]) => [`change:${name}`, action]);
  for (const [name, action] of handlers) model.on(name, action);
  const onScreen = new IntersectionObserver(([entry]) => {
    if (entry.isIntersecting) clock.views.add(el); else clock.views.delete(el);
    clock.schedule();
  });
  onScreen.observe(root);
  const watch = setInterval(drawNotice, 1000);
  drawPicture(); drawReadout(); drawControls();

  return () => {
    clearInterval(watch);
    clearTimeout(flashTimer);
    onScreen.disconnect();
    clock.views.delete(el);
    for (const [name, action] of handlers) model.off(name, action);
  };
}
