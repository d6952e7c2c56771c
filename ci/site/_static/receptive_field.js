// The page `explore/receptive_field`: layers to stack, what they cost, and what one unit behind them sees. The numbers are dldna's.
// @ts-check
(() => {
    /** @typedef {{ channels: number, kernel: number, stride: number, padding: number, dilation: number }} Layer no channels: a pooling */

    /** How they begin, or all of their windows: input side, input channels, and the layers as in the address. */
    /** @type {Record<string, [number, number, string]>} */
    const PRESETS = {
        "A convolution and a pooling, twice": [28, 1, "16-3-1-1-1.0-2-2-0-1.32-3-1-1-1.0-2-2-0-1"],
        "LeNet-5": [32, 1, "6-5-1-0-1.0-2-2-0-1.16-5-1-0-1.0-2-2-0-1.120-5-1-0-1"],
        AlexNet: [
            224, 3,
            "64-11-4-2-1.0-3-2-0-1.192-5-1-2-1.0-3-2-0-1.384-3-1-1-1.256-3-1-1-1.256-3-1-1-1.0-3-2-0-1",
        ],
        "VGG-16, three stages": [
            224, 3,
            "64-3-1-1-1.64-3-1-1-1.0-2-2-0-1.128-3-1-1-1.128-3-1-1-1.0-2-2-0-1.256-3-1-1-1.256-3-1-1-1.256-3-1-1-1.0-2-2-0-1",
        ],
        "ResNet's stem and first block": [224, 3, "64-7-2-3-1.0-3-2-1-1.64-3-1-1-1.64-3-1-1-1"],
        "Three small windows for one of 7x7": [32, 64, "64-3-1-1-1.64-3-1-1-1.64-3-1-1-1"],
        "Dilation 1, 2, 4, 8": [64, 1, "16-3-1-1-1.16-3-1-2-2.16-3-1-4-4.16-3-1-8-8"],
    };
    const FIELDS = /** @type {const} */ (["channels", "kernel", "stride", "padding", "dilation"]);
    const MOST = { channels: 4096, kernel: 15, stride: 8, padding: 16, dilation: 16 };
    const MOST_LAYERS = 24;
    const GIVEN = ["Output", "Receptive field", "Jump", "Parameters", "Multiply-adds"];

    const place = /** @type {HTMLElement} */ (document.getElementById("receptive-field-explorable"));
    const [usualSide, usualChannels, usualLayers] = PRESETS["A convolution and a pooling, twice"];
    const words = explorable.read({
        side: usualSide,
        channels: usualChannels,
        layers: usualLayers,
        layer: -1,
        row: 0.5,
        column: 0.5,
    });
    /** `layer` is the one whose units are shown, `row` and `column` where one of them is, from 0 to 1. */
    const state = { ...words, layers: parse(words.layers) };
    if (!state.layers[state.layer]) state.layer = state.layers.length - 1;

    place.innerHTML = `
        <div class="explorable-controls">
          <label>Network <select name="preset"><option value="">your own</option>${Object.keys(PRESETS)
              .map((name) => `<option>${name}</option>`)
              .join("")}</select></label>
          <label>Input side <input name="side" type="number" min="1" max="1024"></label>
          <label>Input channels <input name="channels" type="number" min="1" max="4096"></label>
        </div>
        <div class="explorable-scroll"><table class="explorable-layers">
          <thead><tr><th>Layer</th>${FIELDS.map((field) => `<th>${capital(field)}</th>`).join("")}
          ${GIVEN.map((name) => `<th>${name}</th>`).join("")}<th><span class="explorable-hidden">Change</span></th></tr></thead>
          <tbody></tbody>
          <tfoot></tfoot>
        </table></div>
        <div class="explorable-controls">
          <button type="button" name="convolution">Add a convolution</button>
          <button type="button" name="pooling">Add a pooling</button>
        </div>
        <p class="explorable-problem" role="alert"></p>
        <div class="explorable-sight">
          <svg class="explorable-field" tabindex="0" role="img"></svg>
          <p class="explorable-sum" aria-live="polite"></p>
        </div>`;
    /** @param {string} selector */
    const find = (selector) => /** @type {any} */ (place.querySelector(selector));
    const [body, foot, picture] = [find("tbody"), find("tfoot"), find("svg")];

    for (const name of /** @type {const} */ (["side", "channels"])) {
        const input = find(`[name="${name}"]`);
        input.addEventListener("change", () => {
            state[name] = explorable.whole(input);
            change();
        });
    }
    find('[name="preset"]').addEventListener("change", (/** @type {Event} */ event) => {
        const preset = PRESETS[/** @type {HTMLSelectElement} */ (event.target).value];
        if (!preset) return;
        [state.side, state.channels] = preset;
        state.layers = parse(preset[2]);
        state.layer = state.layers.length - 1;
        build();
    });
    find('[name="convolution"]').addEventListener("click", () => add({ channels: 32, kernel: 3, stride: 1, padding: 1, dilation: 1 }));
    find('[name="pooling"]').addEventListener("click", () => add({ channels: 0, kernel: 2, stride: 2, padding: 0, dilation: 1 }));
    const follow = (/** @type {PointerEvent} */ event) => {
        const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
        [state.row, state.column] = [at.y / state.side, at.x / state.side].map((share) => Math.min(Math.max(share, 0), 1));
        change();
    };
    picture.addEventListener("pointerdown", follow);
    picture.addEventListener("pointermove", follow);
    picture.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        const step = explorable.arrow(event);
        const side = seen().side;
        if (!step || !side) return;
        [state.row, state.column] = [state.row, state.column].map((share, axis) => {
            const unit = Math.min(Math.floor(share * side), side - 1) + step[axis];
            return (Math.min(Math.max(unit, 0), side - 1) + 0.5) / side;
        });
        change();
    });

    /** @param {string} word */
    function capital(word) {
        return word[0].toUpperCase() + word.slice(1);
    }

    /** Layers as the address has them: five numbers each. @param {string} text @returns {Layer[]} */
    function parse(text) {
        const layers = text.split(".").filter(Boolean).slice(0, MOST_LAYERS);
        return layers.map((layer) => {
            const numbers = layer.split("-").map((number) => Math.max(Math.round(Number(number)) || 0, 0));
            const entries = FIELDS.map((field, i) => [field, Math.min(Math.max(numbers[i] ?? 0, least(field)), MOST[field])]);
            return Object.fromEntries(entries);
        });
    }

    /** @param {string} field */
    function least(field) {
        return field === "padding" || field === "channels" ? 0 : 1;
    }

    /** @param {Layer[]} layers */
    function written(layers) {
        return layers.map((layer) => FIELDS.map((field) => layer[field]).join("-")).join(".");
    }

    /** @param {Layer} layer */
    function add(layer) {
        if (state.layers.length === MOST_LAYERS) return;
        state.layers.push(layer);
        state.layer = state.layers.length - 1;
        build();
    }

    /** What the layers give, from the crate. */
    function computed() {
        const numbers = state.layers.flatMap((layer) => FIELDS.map((field) => layer[field]));
        const stack = wasm_bindgen.stack(state.side, state.channels, Uint32Array.from(numbers));
        return { layers: stack.layers, problem: stack.problem };
    }

    /** The layer whose units are shown; the input itself where there is none. */
    function seen() {
        const { layers } = computed();
        return layers[Math.min(state.layer, layers.length - 1)] ?? { side: state.side, receptive_field: 1, jump: 1, start: 0 };
    }

    /** The rows of the table anew, and all that depends on them. */
    function build() {
        find('[name="side"]').value = state.side;
        find('[name="channels"]').value = state.channels;
        body.replaceChildren(...state.layers.map(row));
        change();
    }

    /** @param {Layer} layer @param {number} index */
    function row(layer, index) {
        const name = `${layer.channels ? "Convolution" : "Pooling"} ${index + 1}`;
        const line = document.createElement("tr");
        const fields = FIELDS.map((field) => {
            const fixed = !layer.channels && (field === "channels" || field === "dilation");
            const lowest = field === "channels" ? 1 : least(field);
            const input = `<input type="number" data-field="${field}" aria-label="${field} of ${name}" min="${lowest}" max="${MOST[field]}" value="${layer[field]}">`;
            return fixed ? "<td></td>" : `<td data-name="${capital(field)}">${input}</td>`;
        });
        line.innerHTML = `<th scope="row"><button type="button" class="explorable-choice">${name}</button></th>${fields.join("")}
            ${GIVEN.map((name) => `<td class="explorable-number" data-name="${name}"></td>`).join("")}<td><button type="button" aria-label="remove ${name}">×</button></td>`;
        const [choose, remove] = line.querySelectorAll("button");
        choose.addEventListener("click", () => {
            state.layer = index;
            change();
        });
        remove.addEventListener("click", () => {
            state.layers.splice(index, 1);
            state.layer = Math.min(state.layer, state.layers.length - 1);
            build();
            // Who removes by the keyboard goes on from where the row was.
            const next = body.rows[Math.min(index, state.layers.length - 1)]?.querySelector("td:last-child button");
            (next ?? find('[name="convolution"]')).focus();
        });
        for (const input of line.querySelectorAll("input")) {
            input.addEventListener("input", () => {
                if (input.value === "") return;
                layer[/** @type {keyof Layer} */ (input.dataset.field)] = explorable.whole(input);
                change();
            });
        }
        return line;
    }

    /** What follows from the state. */
    function change() {
        explorable.write({ ...state, layers: written(state.layers), row: +state.row.toFixed(3), column: +state.column.toFixed(3) });
        const preset = Object.entries(PRESETS).find(
            ([, [side, channels, layers]]) => side === state.side && channels === state.channels && layers === written(state.layers),
        );
        find('[name="preset"]').value = preset ? preset[0] : "";
        const { layers, problem } = computed();
        const lines = /** @type {HTMLTableRowElement[]} */ ([...body.rows]);
        lines.forEach((line, index) => {
            const cost = layers[index];
            const size = (/** @type {number} */ side) => `${side}×${side}`;
            const numbers = cost
                ? [`${cost.channels}×${size(cost.side)}`, size(cost.receptive_field), cost.jump, explorable.count(cost.parameters), explorable.count(cost.multiply_adds)]
                : ["", "", "", "", ""];
            line.querySelectorAll(".explorable-number").forEach((cell, i) => {
                cell.textContent = String(numbers[i]);
            });
            line.querySelector(".explorable-choice")?.setAttribute("aria-pressed", String(index === state.layer));
        });
        const sum = (/** @type {"parameters" | "multiply_adds"} */ what) => explorable.count(layers.reduce((total, cost) => total + cost[what], 0));
        foot.innerHTML = `<tr><th scope="row">Together</th><td colspan="8"></td><td class="explorable-number" data-name="Parameters">${sum("parameters")}</td>
            <td class="explorable-number" data-name="Multiply-adds">${sum("multiply_adds")}</td><td></td></tr>`;
        find(".explorable-problem").textContent = problem ? `${body.rows[layers.length].querySelector("button").textContent} does not fit: ${problem}.` : "";
        draw(layers);
    }

    /** The squares of input pixels that the units on one line of sight see, the chosen layer's filled. @param {any[]} layers */
    function draw(layers) {
        const chosen = seen();
        const unit = [state.row, state.column].map((share) => Math.min(Math.floor(share * chosen.side), chosen.side - 1));
        const centre = unit.map((index) => chosen.start + index * chosen.jump + chosen.receptive_field / 2);
        const shown = Math.min(state.layer, layers.length - 1);
        const padding = Math.max(0, ...layers.slice(0, shown + 1).map((layer) => -layer.start));
        const margin = Math.min(padding, state.side / 2) + state.side / 80;
        picture.setAttribute("viewBox", [-margin, -margin, state.side + 2 * margin, state.side + 2 * margin].join(" "));
        const thin = state.side / 300;
        const shapes = [explorable.drawn("rect", { class: "input", width: state.side, height: state.side, "stroke-width": thin })];
        if (chosen.side <= 64) {
            const middle = (/** @type {number} */ index) => chosen.start + index * chosen.jump + chosen.receptive_field / 2;
            const lines = Array.from({ length: chosen.side }, (_, index) => middle(index));
            const dot = Math.min(chosen.jump / 6, state.side / 150);
            shapes.push(...lines.flatMap((cy) => lines.map((cx) => explorable.drawn("circle", { class: "unit", cx, cy, r: dot }))));
        }
        layers.slice(0, shown + 1).forEach((layer, index) => {
            // The unit of this layer in the middle of what the chosen one sees.
            const [y, x] = centre.map((middle) => {
                const nearest = Math.round((middle - layer.start - layer.receptive_field / 2) / layer.jump);
                return layer.start + Math.min(Math.max(nearest, 0), layer.side - 1) * layer.jump;
            });
            const side = layer.receptive_field;
            shapes.push(explorable.drawn("rect", { class: index === shown ? "field chosen" : "field", x, y, width: side, height: side, "stroke-width": index === shown ? 3 * thin : 2 * thin }));
        });
        picture.replaceChildren(...shapes);
        const name = shown < 0 ? "the input" : body.rows[shown].querySelector("button").textContent;
        const [rows, columns] = unit.map((index) => inside(chosen.start + index * chosen.jump, chosen.receptive_field));
        const pixels = rows.count && columns.count ? `${among("row", rows)} and ${among("column", columns)} of the input` : "no pixel of the input";
        const beside = [counted("row", rows.padding), counted("column", columns.padding)].filter(Boolean).join(" and ");
        const words = `Unit (${unit.join(", ")}) of ${name}, which has ${chosen.side}×${chosen.side}, sees ${pixels}, which has ${state.side}×${state.side}${beside && `, and ${beside} of padding`}.`;
        const share = (100 * rows.count * columns.count) / state.side ** 2;
        find(".explorable-sum").textContent = `${words} With a receptive field of ${chosen.receptive_field}×${chosen.receptive_field}, it sees ${share.toFixed(share < 10 ? 1 : 0)}% of the input.`;
        picture.setAttribute("aria-label", `The receptive field on the input. ${words}`);
    }

    /** Which rows, or columns, of the input are in a receptive field that begins at `start`, and how many of padding. @param {number} start @param {number} length */
    function inside(start, length) {
        const [first, last] = [Math.max(start, 0), Math.min(start + length, state.side) - 1];
        const count = Math.max(last - first + 1, 0);
        return { first, last, count, padding: length - count };
    }

    /** @param {string} name @param {{ first: number, last: number, count: number }} lines */
    function among(name, { first, last, count }) {
        return count > 1 ? `${name}s ${first} to ${last}` : `${name} ${first}`;
    }

    /** @param {string} name @param {number} count */
    function counted(name, count) {
        return count && `${count} ${name}${count > 1 ? "s" : ""}`;
    }

    dldnaWeb.then(build);
})();
