// Draws the timeline, what ran where and when, on a canvas. The server merges
// chunks that would share a pixel.
//
// Contract: views/timeline.templ. #timeline holds #timeline-box; a page without
// them has no timeline.
import { Colours } from "./timeline/colours.js";
import { Data } from "./timeline/data.js";
import { Input } from "./timeline/input.js";
import { Loader } from "./timeline/load.js";
import { Painter } from "./timeline/paint.js";
import { Window } from "./timeline/window.js";

const box = document.getElementById("timeline-box");
if (box) start();

function start() {
  const data = new Data(document.getElementById("timeline"), box);
  const window = new Window(data);
  const colours = new Colours(box);
  const painter = new Painter(data, window, colours, box);
  const input = new Input(data, window, painter, box);
  const loader = new Loader(data, window, box);
  window.addEventListener("moved", () => painter.draw());
  loader.addEventListener("answered", () => {
    input.renew();
    if (!data.ofJob && data.loaded) colours.listJobs(data);
    painter.draw();
  });
  painter.measure();
}
