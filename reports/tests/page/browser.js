// Tries a page as a person would, and tells what it found to the document around. Runs before all else in the page.
"use strict";
(() => {
  const found = { width: innerWidth, errors: [], forbidden: [], requests: [], empty: [], misaligned: [], wide: [], wrong: [], counts: {} };
  let ofRun = false;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  addEventListener("error", (event) => found.errors.push(String(event.message || event.target.outerHTML)), true);
  addEventListener("unhandledrejection", (event) => found.errors.push(String(event.reason)));
  addEventListener("securitypolicyviolation", (event) => found.forbidden.push(event.blockedURI), true);
  for (const name of ["error", "warn"]) console[name] = (...said) => found.errors.push(said.join(" "));
  const expect = (is, what) => is || found.wrong.push(what);
  const where = (element) => element.closest("[id]")?.id + " " + element.className;
  const point = (element, type, x, y = 0.5) => {
    const box = element.getBoundingClientRect();
    const at = { clientX: box.left + box.width * x, clientY: box.top + box.height * y, bubbles: true };
    element.dispatchEvent(new PointerEvent(type, at));
  };

  // Every chart has something in it, and all are as wide.
  const drawn = () => {
    const charts = all(".area > svg, .topology svg, .sequence svg");
    found.counts.charts = charts.length;
    for (const svg of charts) {
      const boxes = all("polyline, polygon, rect, path, line, circle", svg).map((mark) => mark.getBoundingClientRect());
      if (!boxes.some((box) => box.width + box.height > 4)) found.empty.push(where(svg.parentElement));
    }
    const areas = all(".panel .area");
    const places = areas.map((area) => area.getBoundingClientRect());
    places.forEach((box, index) => {
      const [{ left, width }] = places;
      if (Math.abs(box.left - left) > 0.5 || Math.abs(box.width - width) > 0.5) found.misaligned.push(where(areas[index]));
    });
    if (document.documentElement.scrollWidth > innerWidth) found.wide.push(document.documentElement.scrollWidth);
  };

  // Pointing at one chart shows the values of that moment in all of them.
  const hovered = () => {
    const data = JSON.parse(document.getElementById("charts").textContent);
    const panels = all(".panel");
    found.counts.panels = panels.length;
    const read = () => panels.map((panel) => all(".legend output", panel).map((output) => output.textContent).join("|"));
    const resting = read();
    point(panels[0].querySelector(".area"), "pointermove", 0.2);
    const shown = read();
    const readout = document.querySelector(".readout");
    expect(!readout.hidden && readout.textContent.includes((0.2 * data.end_s).toFixed(0)), "the moment: " + readout.textContent);
    expect(readout.textContent.includes("partition"), "the fault of the moment: " + readout.textContent);
    const lefts = new Set(all(".stack .cursor").map((cursor) => cursor.style.left));
    expect(lefts.size === 1, "one cursor: " + [...lefts].join(" "));
    expect(getComputedStyle(panels[0].querySelector(".cursor")).opacity > 0.5, "the cursor can be seen");
    found.counts.hovered = shown.filter((text, index) => text.length > 0 && (text !== resting[index] || /\b0\b/.test(text))).length;
    const window = Math.floor((0.2 * data.end_s) / data.window_s);
    const achieved = data.panels[panels[0].dataset.panel].series[0][window];
    const figure = parseFloat(panels[0].querySelector("output").textContent.replace(/,/g, ""));
    expect(Math.abs(figure - achieved) <= achieved * 0.006, `achieved: ${figure} for ${achieved}`);
    document.querySelector(".stack").dispatchEvent(new PointerEvent("pointerleave"));
    expect(read().join() === resting.join() && readout.hidden, "leaving puts all back");
    document.querySelector(".stack").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    expect(!readout.hidden, "the arrow keys move the cursor");
    document.querySelector(".stack").dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    expect(readout.hidden, "Escape ends it");
    const curves = all(".curve");
    found.counts.curves = curves.length;
    for (const curve of curves) {
      point(curve.querySelector(".area"), "pointermove", 0.4);
      expect(/^p\d+(\.\d+)? [\d.,]+ (µs|ms|s)$/.test(curve.querySelector("output").textContent), where(curve));
    }
  };

  // A click on a fault goes to its band, and lights it in every chart.
  const jumped = () => {
    const links = all("a.jump");
    found.counts.faults = links.length;
    for (const link of links) {
      scrollTo(0, 0);
      link.click();
      const fault = link.dataset.fault;
      const lit = all(".band.lit");
      expect(lit.length === found.counts.panels && lit.every((band) => band.dataset.fault === fault), `lit by ${fault}: ${lit.length}`);
      const band = document.getElementById("band-" + fault).getBoundingClientRect();
      expect(band.top >= 0 && band.bottom <= innerHeight && scrollY > 0, `jumped to ${fault}: ${band.top}`);
      expect(!document.querySelector(".readout").hidden, "the moment of the fault is shown");
    }
  };

  // Pointing at a host shows its links.
  const lit = () => {
    document.querySelector(".host").dispatchEvent(new PointerEvent("pointerenter"));
    expect(all(".link.lit").length > 0 && all(".link:not(.lit)").length > 0, "a host shows its links");
  };

  const themed = () => {
    const paper = (theme) => {
      document.getElementById("theme-" + theme).click();
      return getComputedStyle(document.body).backgroundColor;
    };
    const [light, dark] = [paper("light"), paper("dark")];
    expect(light !== dark, `light and dark: ${light} ${dark}`);
    expect([light, dark].includes(paper("auto")), "auto is one of them");
    expect(!ofRun || !document.querySelector(".copy").hidden, "the line can be copied");
  };

  addEventListener("load", () => {
    document.documentElement.style.scrollBehavior = "auto";
    // The page of a sweep has no time axis, and no script.
    ofRun = document.getElementById("charts") !== null;
    for (const details of all("details")) details.open = true;
    const checks = ofRun ? { drawn, hovered, jumped, lit, themed } : { drawn, themed };
    for (const [name, check] of Object.entries(checks)) {
      try {
        check();
      } catch (error) {
        found.wrong.push(`${name}: ${error.stack}`);
      }
    }
    found.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
    parent.postMessage(JSON.stringify(found), "*");
  });
})();
