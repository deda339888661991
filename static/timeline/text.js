// Formats numbers and times of the timeline as the server does
// (views/format.go).

export const number = (n) => n.toLocaleString("en-US");
export const clamp = (v, low, high) => Math.min(Math.max(v, low), high);

const pad = (n) => String(n).padStart(2, "0");
const short = (v) => (v < 9.95 ? v.toFixed(1) : Math.round(v).toString());

// duration formats a duration.
export function duration(ms) {
  if (ms < 0.9995) return `${short(ms * 1000)} µs`;
  if (ms < 999.5) return `${short(ms)} ms`;
  if (ms < 59950) return `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;
  const s = Math.round(ms / 1000);
  if (s < 3600) return `${Math.floor(s / 60)}:${pad(s % 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)} h`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

// axisTime formats a time on an axis whose marks are step apart: since the
// job's start, or, for all jobs, in seconds relative to now.
export function axisTime(t, step, ofJob) {
  if (!ofJob && t === 0) return "now";
  const sign = t < 0 ? "−" : "";
  const ms = Math.round(Math.abs(t));
  const decimals = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
  if (ms < 60000 || !ofJob) return `${sign}${(ms / 1000).toFixed(decimals)} s`;
  const s = Math.floor(ms / 1000);
  const part = decimals ? (ms / 1000 - s).toFixed(decimals).slice(1) : "";
  if (s < 3600) return `${sign}${Math.floor(s / 60)}:${pad(s % 60)}${part} min`;
  if (s < 86400) return `${sign}${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}${step < 6e4 ? `:${pad(s % 60)}${part}` : ""} h`;
  return `${sign}${Math.floor(s / 86400)} d${s % 86400 ? ` ${Math.floor(s / 3600) % 24} h` : ""}`;
}
