(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const ACCENT = "#e69f00";
  const CSS = `
.dldna-panel { background: #fff; color: #222; color-scheme: light; border: 1px solid #ddd; border-radius: 6px; padding: 12px;
  max-width: 680px; box-sizing: border-box; font: 15px/1.4 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
.dldna-panel svg { display: block; width: 100%; height: auto; }
.dldna-panel .terms { min-height: 2.8em; margin: 8px 0; font-variant-numeric: tabular-nums; }
.dldna-panel .sum { font-weight: 600; white-space: nowrap; }
.dldna-panel .controls { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; }
.dldna-panel button { font: inherit; color: #222; background: #f4f4f4; border: 1px solid #bbb; border-radius: 4px; padding: 4px 12px;
  min-width: 44px; min-height: 32px; cursor: pointer; }
.dldna-panel button:hover { background: #e8e8e8; }
.dldna-panel button:focus-visible, .dldna-panel input:focus-visible { outline: 3px solid #0072b2; outline-offset: 1px; }
.dldna-panel input { flex: 1 1 120px; min-width: 80px; accent-color: #0072b2; }
.dldna-panel .count { min-width: 7.5em; text-align: right; font-variant-numeric: tabular-nums; }`;

  const element = (name, attributes, parent, text) => {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.appendChild(node);
    return node;
  };
  const html = (name, parent, properties) => parent.appendChild(Object.assign(document.createElement(name), properties));

  const isDark = (color) => {
    const part = (i) => parseInt(color.slice(i, i + 2), 16);
    return 0.299 * part(1) + 0.587 * part(3) + 0.114 * part(5) < 140;
  };

  // Draws a matrix; returns its cells, so that some of them can be hidden.
  const drawMatrix = (svg, title, matrix, x, y, cell) => {
    element("text", { x, y: y - 10, "font-size": 16, "font-weight": 600, fill: "#222" }, svg, title);
    return matrix.rows.flatMap((row, i) => row.map((value, j) => {
      const group = element("g", {}, svg);
      const fill = matrix.colors[i * row.length + j];
      element("rect", { x: x + j * cell, y: y + i * cell, width: cell, height: cell, fill, stroke: "#ddd" }, group);
      element("text", {
        x: x + (j + 0.5) * cell, y: y + (i + 0.5) * cell, "text-anchor": "middle", "dominant-baseline": "central",
        "font-size": Math.min(18, 0.55 * cell, 1.45 * cell / value.length), fill: isDark(fill) ? "#fff" : "#222",
      }, group, value);
      return group;
    }));
  };

  const start = (root) => {
    const data = JSON.parse(root.dataset.steps);
    const size = (matrix) => [matrix.rows.length, matrix.rows[0].length];
    const [channels, filters, stride] = [data.input.length, data.filters.length, data.stride];
    const [[height, width], [kernelHeight, kernelWidth], [outHeight, outWidth]] =
      [data.input[0], data.filters[0][0], data.output[0]].map(size);
    const steps = filters * outHeight * outWidth;

    root.textContent = "";
    html("style", root, { textContent: CSS });
    const panel = html("div", root, { className: "dldna-panel" });
    panel.setAttribute("role", "group");
    panel.setAttribute("aria-label", "Convolution, step by step");

    // The three columns of matrices share the width of 620 units; channels stand below each other.
    const cell = Math.min(42, 550 / (width + kernelWidth + outWidth));
    const heading = 30;
    const gap = (616 - cell * (width + kernelWidth + outWidth)) / 2;
    const [xInput, xKernel, xOutput] = [2, 2 + cell * width + gap, 2 + cell * (width + kernelWidth) + 2 * gap];
    const top = (index, rows) => heading + index * (heading + cell * rows);
    const bottom = Math.max(top(channels, height), top(filters, outHeight)) - heading;
    const svg = element("svg", { viewBox: `0 0 620 ${bottom + 4}`, role: "img" }, panel);
    const mark = { fill: "none", stroke: ACCENT, "stroke-width": 4 };
    data.input.forEach((matrix, i) => {
      drawMatrix(svg, channels > 1 ? `Channel ${i + 1}` : "Input", matrix, xInput, top(i, height), cell);
    });
    // The kernels of a filter, one group for each filter; only the filter at work is shown.
    const kernels = data.filters.map((filter, f) => {
      const group = element("g", {}, svg);
      filter.forEach((matrix, i) => {
        const title = i > 0 ? "" : filters > 1 ? `Filter ${f + 1}` : "Kernel";
        drawMatrix(group, title, matrix, xKernel, top(i, height), cell);
      });
      return group;
    });
    const results = data.output.flatMap((matrix, f) => {
      const cells = drawMatrix(svg, filters > 1 ? `Output ${f + 1}` : "Output", matrix, xOutput, top(f, outHeight), cell);
      element("rect", {
        x: xOutput, y: top(f, outHeight), width: cell * outWidth, height: cell * outHeight, fill: "none", stroke: "#ddd",
      }, svg);
      return cells;
    });
    const windows = data.input.map(() => element("rect", { ...mark, width: cell * kernelWidth, height: cell * kernelHeight }, svg));
    const target = element("rect", { ...mark, width: cell, height: cell }, svg);

    const terms = html("div", panel, { className: "terms" });
    const controls = html("div", panel, { className: "controls" });
    const button = (text, label, act) => {
      const node = html("button", controls, { type: "button", textContent: text, title: label, onclick: act });
      node.setAttribute("aria-label", label);
      return node;
    };

    let step = 0;
    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      play.textContent = "▶ Play";
      play.setAttribute("aria-label", "Play");
      play.title = "Play";
    };
    const advance = () => {
      if (!root.isConnected || step === steps - 1) return stop();
      show(step + 1);
    };
    const toggle = () => {
      if (timer !== null) return stop();
      if (step === steps - 1) show(0);
      timer = setInterval(advance, 900);
      play.textContent = "❚❚ Pause";
      play.setAttribute("aria-label", "Pause");
      play.title = "Pause";
    };
    const go = (next) => { stop(); show(next); };

    const play = button("▶ Play", "Play", toggle);
    play.style.minWidth = "6.5em";
    button("‹", "Step back", () => go(step - 1));
    button("›", "Step forward", () => go(step + 1));
    button("Reset", "Back to the first step", () => go(0));
    const slider = html("input", controls, { type: "range", min: 1, max: steps, oninput: () => go(slider.value - 1) });
    slider.setAttribute("aria-label", "Step");
    const count = html("span", controls, { className: "count" });

    const show = (next) => {
      step = Math.max(0, Math.min(steps - 1, next));
      const [filter, place] = [Math.floor(step / (outHeight * outWidth)), step % (outHeight * outWidth)];
      const [row, column] = [Math.floor(place / outWidth), place % outWidth];
      windows.forEach((window, i) => {
        window.setAttribute("x", xInput + stride * column * cell);
        window.setAttribute("y", top(i, height) + stride * row * cell);
      });
      target.setAttribute("x", xOutput + column * cell);
      target.setAttribute("y", top(filter, outHeight) + row * cell);
      kernels.forEach((group, f) => { group.style.visibility = f === filter ? "visible" : "hidden"; });
      results.forEach((group, i) => { group.style.visibility = i <= step ? "visible" : "hidden"; });
      const sum = data.output[filter].rows[row][column];
      terms.textContent = "";
      data.filters[filter].forEach((kernel, c) => {
        const factors = kernel.rows.flatMap((weights, i) => weights.map((weight, j) => {
          const factor = weight.startsWith("−") ? `(${weight})` : weight;
          return `${data.input[c].rows[stride * row + i][stride * column + j]}\u2060·\u2060${factor}`;
        }));
        const start = channels > 1 ? `Channel ${c + 1}: ` : "";
        html("div", terms, { textContent: start + factors.join(" + ") });
      });
      html("div", terms, { className: "sum", textContent: channels > 1 ? `All channels together = ${sum}` : `= ${sum}` });
      slider.value = step + 1;
      slider.setAttribute("aria-valuetext", `step ${step + 1} of ${steps}`);
      count.textContent = `step ${step + 1} of ${steps}`;
      svg.setAttribute("aria-label", `Step ${step + 1} of ${steps}: output ${filter + 1}, row ${row + 1}, column ${column + 1} is ${sum}`);
    };
    show(0);
  };

  // Each player on the page is started once, whichever copy of this script comes first. The page itself has no mark of it, which
  // would be saved with the page.
  if (!window.dldnaPlayers) {
    window.dldnaPlayers = new WeakSet();
    // JupyterLab listens at the document, and with an arrow key goes to another cell.
    addEventListener("keydown", (event) => event.target.closest?.(".dldna-panel") && event.stopPropagation(), true);
  }
  const startAll = () => document.querySelectorAll(".dldna-player").forEach((root) => {
    if (window.dldnaPlayers.has(root)) return;
    window.dldnaPlayers.add(root);
    start(root);
  });
  startAll();
  // A notebook may run the script before it puts the player on the page.
  requestAnimationFrame(startAll);
})();
