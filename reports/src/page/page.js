// What a hand can do with the page: read all charts at one moment, jump to a fault, follow a host's links, copy a line.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("charts").textContent);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Numbers as the rest of the page shows them.
  const fixed = (value, places) => {
    const [whole, fraction = ""] = value.toFixed(places).split(".");
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
    const kept = fraction.replace(/0+$/, "");
    return (kept ? grouped + "." + kept : grouped).replace(/^-0$/, "0");
  };
  const three = (value) => fixed(value, Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0);
  const latency = (us) =>
    us < 1000 ? fixed(us, 0) + " µs" : us < 999500 ? three(us / 1e3) + " ms" : three(us / 1e6) + " s";
  const show = (value, unit) => {
    if (value === null || value === undefined) return "–";
    if (unit === null) return latency(value);
    const size = Math.abs(value);
    const [divisor, prefix] = size < 9999.5 ? [1, ""] : size < 999500 ? [1e3, "k"] : size < 999500000 ? [1e6, "M"] : [1e9, "G"];
    const digits = three(value / divisor);
    if (unit.startsWith("bytes")) return `${digits} ${prefix}B${unit.slice(5)}`;
    const number = prefix ? `${digits} ${prefix}` : digits;
    return unit.startsWith("/") ? number + unit : unit ? `${number} ${unit}` : number;
  };

  // The cursor over all charts.
  const stack = document.querySelector(".stack");
  if (stack && data.window_s) {
    const panels = all(".panel", stack).map((element) => ({
      data: data.panels[element.dataset.panel],
      outputs: all(".legend output", element).map((output) => ({ output, resting: output.textContent })),
    }));
    const cursors = all(".cursor", stack);
    const readout = document.querySelector(".readout");
    const faults = all(".fault", stack).map((row) => ({
      name: row.querySelector("b").textContent,
      row: row.dataset.fault,
      from: parseFloat(row.querySelector(".fault-bar").style.left),
      width: parseFloat(row.querySelector(".fault-bar").style.width),
    }));
    const windows = Math.max(1, ...Object.values(data.panels).flatMap((panel) => panel.series.map((values) => values.length)));
    let shown = null;
    const at = (seconds) => {
      shown = Math.min(windows - 1, Math.max(0, Math.floor(seconds / data.window_s)));
      stack.classList.add("live");
      const percent = (100 * Math.min(seconds, data.end_s)) / data.end_s;
      for (const cursor of cursors) cursor.style.left = percent + "%";
      for (const panel of panels)
        panel.outputs.forEach(({ output }, index) => {
          output.textContent = show(panel.data.series[index][shown], panel.data.unit);
        });
      readout.hidden = false;
      readout.querySelector(".time").textContent = fixed(seconds, data.end_s < 10 ? 3 : 2) + " s";
      const active = faults.filter((fault) => fault.from <= percent && percent <= fault.from + fault.width);
      readout.querySelector(".what").textContent = active.map((fault) => fault.name).join(" · ");
    };
    const leave = () => {
      shown = null;
      stack.classList.remove("live");
      readout.hidden = true;
      for (const panel of panels) for (const { output, resting } of panel.outputs) output.textContent = resting;
    };
    const point = (event) => {
      const area = event.target.closest(".area");
      if (!area) return leave();
      const box = area.getBoundingClientRect();
      at(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * data.end_s);
    };
    stack.addEventListener("pointermove", point);
    stack.addEventListener("pointerdown", point);
    stack.addEventListener("pointerleave", leave);
    stack.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") {
        leave();
        light(null);
      } else if (step) {
        event.preventDefault();
        at(((shown === null ? 0 : shown + step) + 0.5) * data.window_s);
      }
    });

    // Faults: the link itself jumps; here its bands are lit in every chart.
    const light = (fault) => {
      for (const element of all("[data-fault]")) element.classList.toggle("lit", element.dataset.fault === fault);
    };
    for (const link of all("a.jump"))
      link.addEventListener("click", () => {
        light(link.dataset.fault);
        const fault = faults.find(({ row }) => row === link.dataset.fault);
        if (fault) at((fault.from / 100) * data.end_s);
      });
  }

  // Percentile curves: the point nearest to the cursor.
  for (const curve of all(".curve")) {
    const points = data.curves[curve.dataset.curve];
    const [area, output, cursor] = [".area", "output", ".cursor"].map((selector) => curve.querySelector(selector));
    const resting = output.textContent;
    area.addEventListener("pointermove", (event) => {
      const box = area.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width;
      const [at, percentile, us] = points.reduce((best, next) => (Math.abs(next[0] - x) < Math.abs(best[0] - x) ? next : best));
      curve.classList.add("live");
      cursor.style.left = at * 100 + "%";
      output.textContent = `p${percentile} ${latency(us)}`;
    });
    area.addEventListener("pointerleave", () => {
      curve.classList.remove("live");
      output.textContent = resting;
    });
  }

  // A host and whom it talks to.
  for (const svg of all(".topology svg")) {
    const [hosts, links] = [all(".host", svg), all(".link", svg)];
    for (const host of hosts) {
      host.addEventListener("pointerenter", () => {
        const name = host.dataset.host;
        const near = new Set([name]);
        for (const link of links) {
          const joins = link.dataset.from === name || link.dataset.to === name;
          link.classList.toggle("lit", joins);
          if (joins) near.add(link.dataset.from).add(link.dataset.to);
        }
        for (const other of hosts) other.classList.toggle("lit", near.has(other.dataset.host));
        svg.classList.add("pointed");
      });
      host.addEventListener("pointerleave", () => svg.classList.remove("pointed"));
    }
  }

  // A story is opened where it ends: at the violation.
  for (const sequence of all(".sequence")) {
    const moment = sequence.querySelector(".step.moment");
    if (moment) sequence.scrollTop = moment.getBBox().y - sequence.clientHeight * 0.6;
  }

  for (const button of all("[data-copy]")) {
    button.hidden = false;
    const text = button.textContent;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
      } catch {
        // Files opened from a disk may not have the clipboard: select the line, and copy it the old way.
        getSelection().selectAllChildren(source);
        document.execCommand("copy");
      }
      button.textContent = button.dataset.done;
      setTimeout(() => (button.textContent = text), 1500);
    });
  }
})();
