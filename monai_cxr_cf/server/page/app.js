// SPDX-License-Identifier: Apache-2.0
// The page: a file and words in, jobs of the native routes followed, pictures and files out.
import { call, filesOf, follow, json, picture, submit, submitAudit } from "./api.js";
import { Suggestions } from "./suggest.js";
import { Viewer } from "./viewer.js";

const at = (id) => document.getElementById(id);
const SHARES = { read: 3, segment: 6, region: 2, sample: 74, decode: 5, composite: 3, write: 7 };
const AUDIT = { rows: 85, scores: 15 };
const STAGES = {
  rows: "Editing", scores: "Asking the classifier",
  read: "Reading", segment: "Finding lungs and heart", region: "Finding the region",
  sample: "Drawing the change", decode: "Decoding the image",
  composite: "Putting the change into the radiograph", write: "Judging and writing",
};
const ROLES = {
  cf: "Counterfactual", diff: "Difference map", seg: "Masks (SEG)", sr: "Report (SR)",
  preview: "Picture", trace: "Trace", report: "Record (JSON)", arrays: "Arrays",
};
const RASTER = [[0x89, 0x50, 0x4e, 0x47], [0xff, 0xd8, 0xff]];
const viewer = new Viewer();
const now = { file: null, raster: false, caps: null, job: null, turn: 0, busy: false };

// --- what the buttons do ---------------------------------------------------------------------

/** Run one action; errors are shown, and the buttons wait meanwhile. */
async function act(words, action) {
  hideAlert();
  const turn = (now.turn += 1);
  now.busy = true;
  offer();
  say(words);
  try {
    await action(turn);
  } catch (error) {
    if (turn === now.turn) complain(error);
  } finally {
    if (turn === now.turn) {
      now.busy = false;
      at("progress").hidden = true;
      offer();
    }
  }
}

async function take(file) {
  if (!file) return;
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  now.job = null;
  now.raster = RASTER.some((mark) => mark.every((byte, index) => head[index] === byte));
  at("file-name").textContent = file.name;
  at("file-more").textContent = `${Math.ceil(file.size / 1000)} kB. Choose another`;
  at("drop").classList.add("taken");
  at("result").hidden = true;
  viewer.clear();
  await act("Reading the image …", async (turn) => {
    now.file = null; // only a radiograph that was read can be edited
    const sent = await submit("segment", {}, file, now.raster);
    const job = await follow(sent, () => turn === now.turn);
    if (!job) return;
    now.file = file;
    viewer.source(await picture(job, await filesOf(job), "source"));
    say("Lungs and heart were found. Now say what should change.");
    at("prompt").focus();
  });
}

async function showRegion() {
  await act("Finding the region …", async (turn) => {
    const sent = await submit("segment", { prompt: words() }, now.file, now.raster);
    const job = await follow(sent, () => turn === now.turn);
    if (!job) return;
    const files = await filesOf(job);
    viewer.source(await picture(job, files, "source"));
    viewer.region(await picture(job, files, "region"));
    at("result").hidden = true;
    say("Only the outlined region may change, and a soft band around it.");
  });
}

async function run() {
  at("result").hidden = true;
  await act("", async (turn) => {
    const request = { prompt: words(), preset: at("preset").value, backbone: at("backbone").value };
    now.job = await submit("edit", request, now.file, now.raster);
    at("progress").hidden = false;
    at("cancel").disabled = false;
    const job = await follow(now.job, () => turn === now.turn, progress);
    if (job) await showResult(job);
  });
}

async function audit() {
  const texts = at("audit-findings").value.split(",").map((each) => each.trim());
  const order = { model: at("audit-model").value, findings: texts.filter((each) => each) };
  await act("", async (turn) => watch(await submitAudit(order, at("audit-files").files), turn));
}

/** Follow an audit and link to its report. */
async function watch(sent, turn) {
  now.job = sent;
  at("report").hidden = true;
  at("progress").hidden = at("cancel").disabled = false;
  const job = await follow(sent, () => turn === now.turn, progress);
  if (!job) return;
  const page = (await filesOf(job)).find((each) => each.role === "audit_page");
  const answer = await call(`/v1/jobs/${job.id}/files/${page.index}`);
  at("report").href = URL.createObjectURL(await answer.blob());
  at("report").hidden = false;
  at("report").focus();
}

async function cancel() {
  at("cancel").disabled = true;
  try {
    await json(`/v1/jobs/${now.job.id}`, { method: "DELETE" });
  } catch (error) {
    complain(error);
  }
}

function progress(job) {
  const waiting = job.state === "queued";
  const shares = job.kind === "audit" ? AUDIT : SHARES;
  const names = Object.keys(shares);
  const before = names.slice(0, names.indexOf(job.stage)).reduce((sum, n) => sum + shares[n], 0);
  const share = job.stage ? before + (shares[job.stage] * (job.step || 0)) / (job.total || 1) : 0;
  at("bar").value = waiting ? 0 : share;
  const steps = job.total > 1 ? `, step ${job.step} of ${job.total}` : "";
  at("stage-name").textContent = waiting
    ? `Waiting, place ${job.position} in the queue`
    : `${STAGES[job.stage] || "Starting"}${steps}`;
  at("time-left").textContent = job.cancel_asked ? "stopping"
    : job.eta_s ? `about ${job.eta_s < 90 ? `${Math.ceil(job.eta_s)} s` : `${Math.ceil(job.eta_s / 60)} min`} left` : "";
}

async function showResult(job) {
  const files = await filesOf(job);
  const [source, cf, change, region] = await Promise.all(["source", "cf", "change", "region"]
    .map((name) => picture(job, files, `view_${name}`)));
  viewer.source(source);
  viewer.region(region);
  viewer.result(cf, change);
  const { verdict, metrics, seconds } = job.result;
  at("verdict").textContent = verdict.words;
  const kinds = { pass: "pass", passed: "pass", fail: "fail", failed: "fail" };
  at("verdict").className = `verdict ${kinds[verdict.verdict] || "open"}`;
  tellUnproven(at("result-unproven"), words());
  const total = Object.values(seconds).reduce((sum, value) => sum + value, 0);
  list(at("facts"), [
    ["Largest change outside region and band", `${metrics.outside_max_diff} stored units`],
    ["Time", `${total.toFixed(0)} s`],
    ["Files are removed", job.expires ? new Date(job.expires * 1000).toLocaleString() : ""],
  ]);
  listFiles(job, files);
  at("result").hidden = false;
  say("Done. The slider compares source and counterfactual.");
  at("result").scrollIntoView({ block: "nearest" });
  at("slider").focus({ preventScroll: true });
}

function listFiles(job, files) {
  const shown = files.filter((file) => ROLES[file.role]);
  const rows = shown.map((file) => {
    const sisters = shown.filter((each) => each.role === file.role).length;
    const button = document.createElement("button");
    const size = document.createElement("small");
    button.type = "button";
    button.textContent = ROLES[file.role] + (sisters > 1 ? `, ${file.label}` : "");
    size.textContent = `${file.name.split(".").pop()} · ${Math.ceil(file.bytes / 1000)} kB`;
    button.append(size);
    button.addEventListener("click", () => save(`/v1/jobs/${job.id}/files/${file.index}`, file.name));
    const row = document.createElement("li");
    row.append(button);
    return row;
  });
  at("files").replaceChildren(...rows);
  at("zip").onclick = () => save(`/v1/jobs/${job.id}/files.zip`, "counterfactual.zip");
}

async function save(path, name) {
  try {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await (await call(path)).blob());
    link.download = name.replaceAll("/", "-");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) {
    complain(error);
  }
}

// --- words -----------------------------------------------------------------------------------

const words = () => at("prompt").value.trim();

function say(text) {
  at("status").textContent = text;
}

function complain(error) {
  say("");
  at("alert-message").textContent = error.message;
  at("alert-hint").textContent = error.hint || "";
  at("alert").hidden = false;
  at("alert").scrollIntoView({ block: "nearest" });
}

function hideAlert() {
  at("alert").hidden = true;
}

function offer() {
  const ready = now.file !== null && words() !== "";
  at("audit-run").disabled = now.busy;
  at("show").disabled = at("run").disabled = !ready || now.busy;
}

function tellUnproven(place, text) {
  const low = text.toLowerCase();
  const named = (now.caps?.unproven_findings || []).filter((name) =>
    [name, ...now.caps.findings[name].synonyms].some((each) => low.includes(each)));
  place.hidden = named.length === 0;
  place.textContent = `Unproven: no evidence yet that these weights show ${named.join(", ")}.`;
}

function list(place, pairs) {
  place.replaceChildren(...pairs.filter(([, value]) => value !== "").flatMap(([name, value]) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, text.textContent] = [name, value];
    return [term, text];
  }));
}

// --- start -----------------------------------------------------------------------------------

function options(select, names) {
  select.replaceChildren(...names.map((name) => new Option(name, name)));
}

async function start() {
  viewer.clear();
  offer();
  wire();
  try {
    now.caps = await json("/v1/capabilities");
  } catch (error) {
    complain(error);
    return;
  }
  options(at("preset"), ["default", ...Object.keys(now.caps.presets).filter((n) => n !== "default")]);
  options(at("backbone"), now.caps.backbones);
  at("backbone-field").hidden = now.caps.backbones.length < 2;
  new Suggestions(at("prompt"), at("suggestions"), now.caps);
  options(at("audit-model"), now.caps.audit.models);
  const named = location.hash.slice(1);
  if (named) act("", async (turn) => watch(await json(`/v1/jobs/${named}`), turn));
}

function wire() {
  const drop = at("drop");
  at("file").addEventListener("change", (event) => take(event.target.files[0]));
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, () => drop.classList.add("over"));
  }
  for (const name of ["dragleave", "drop"]) {
    drop.addEventListener(name, () => drop.classList.remove("over"));
  }
  // A file dropped beside the field must not replace the page.
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  at("prompt").addEventListener("input", () => {
    offer();
    tellUnproven(at("unproven"), words());
  });
  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!at("show").disabled) showRegion();
  });
  at("run").addEventListener("click", run);
  at("audit-form").addEventListener("submit", (event) => {
    event.preventDefault();
    audit();
  });
  at("cancel").addEventListener("click", cancel);
  at("alert-close").addEventListener("click", hideAlert);
}

start();
