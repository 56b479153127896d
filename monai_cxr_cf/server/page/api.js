// SPDX-License-Identifier: Apache-2.0
// Calls of the native routes with the API key: jobs, their states, their files.

const at = (id) => document.getElementById(id);
const WAIT_MS = 700;

export class Problem extends Error {
  constructor(body) {
    super(body.message || "The server did not answer as expected.");
    this.hint = body.hint || "";
    this.code = body.code || "";
  }
}

export async function call(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Problem({ message: "The server cannot be reached.", hint: "Is it still running?" });
  }
  if (answer.status === 401) {
    await askKey(key !== null);
    return call(path, options);
  }
  if (!answer.ok) throw new Problem(await answer.json().catch(() => ({})));
  return answer;
}

export const json = async (path, options) => (await call(path, options)).json();

function askKey(wrong) {
  const dialog = at("key-dialog");
  at("key-wrong").hidden = !wrong;
  if (!dialog.open) {
    at("key").value = "";
    dialog.oncancel = (event) => event.preventDefault(); // nothing works without it
    dialog.showModal();
  }
  return new Promise((done) => {
    at("key-form").addEventListener("submit", () => {
      sessionStorage.setItem("key", at("key").value.trim());
      done();
    }, { once: true });
  });
}

/** Queue a job; `raster` says that the file is a picture without patient data. */
export async function submit(kind, request, file, raster) {
  const form = new FormData();
  const reading = raster ? { reading: { allow_raster: true } } : {};
  form.append("kind", kind);
  form.append("request", JSON.stringify({ ...request, ...reading }));
  form.append("dicom", file, "upload");
  return json("/v1/jobs", { method: "POST", body: form });
}

/** Queue an audit of several radiographs. */
export async function submitAudit(order, files) {
  const form = new FormData();
  form.append("kind", "audit");
  form.append("request", JSON.stringify(order));
  for (const file of files) form.append("radiographs", file, "upload");
  return json("/v1/jobs", { method: "POST", body: form });
}

/** Poll until the job is over; `tell` sees every state. Null once `wanted` says no. */
export async function follow(job, wanted, tell = () => {}) {
  let state = job;
  while (true) {
    if (!wanted()) return null;
    tell(state);
    if (state.state === "done") return state;
    if (state.error) throw new Problem(state.error);
    await new Promise((done) => setTimeout(done, WAIT_MS));
    state = await json(`/v1/jobs/${job.id}`);
  }
}

export const filesOf = (job) => json(`/v1/jobs/${job.id}/files`);

export async function picture(job, files, role) {
  const file = files.find((each) => each.role === role);
  const answer = await call(`/v1/jobs/${job.id}/files/${file.index}`);
  return createImageBitmap(await answer.blob());
}
