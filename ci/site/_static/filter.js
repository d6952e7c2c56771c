// The page `explore/filter`: a filter's numbers to change, and what it makes of a picture. The arithmetic is dldna's.
// @ts-check
(() => {
    const PRESETS = {
        "Edges, left to right": [-1, 0, 1, -2, 0, 2, -1, 0, 1],
        "Edges, top to bottom": [-1, -2, -1, 0, 0, 0, 1, 2, 1],
        Blur: [1, 2, 1, 2, 4, 2, 1, 2, 1].map((weight) => weight / 16),
        Sharpen: [0, -1, 0, -1, 5, -1, 0, -1, 0],
        Laplace: [0, 1, 0, 1, -4, 1, 0, 1, 0],
        Emboss: [-2, -1, 0, -1, 1, 1, 0, 1, 2],
        Nothing: [0, 0, 0, 0, 1, 0, 0, 0, 0],
    };
    const SIDE = 512; // the longer side of the picture, in pixels
    const place = /** @type {HTMLElement} */ (document.getElementById("filter-explorable"));
    const state = read();
    /** @type {Picture} */
    let picture = { width: 0, height: 0, pixels: new Float32Array() };
    /** @type {Picture | undefined} */
    let result;

    place.innerHTML = `
        <div class="explorable-controls">
          <label>Kernel <select name="preset"><option value="">your own</option>${Object.keys(PRESETS)
              .map((name) => `<option>${name}</option>`)
              .join("")}</select></label>
          <label>Stride <input name="stride" type="number" min="1" max="8"></label>
          <label>Padding <input name="padding" type="number" min="0" max="8"></label>
          <label>Dilation <input name="dilation" type="number" min="1" max="16"></label>
          <label>Picture <input name="picture" type="file" accept="image/*"></label>
        </div>
        <div class="explorable-kernel" role="group" aria-label="The nine numbers of the kernel">${state.kernel
            .map((_, i) => `<input name="k${i}" type="number" step="0.25" aria-label="row ${Math.floor(i / 3) + 1}, column ${(i % 3) + 1}">`)
            .join("")}</div>
        <div class="explorable-pictures">
          <canvas name="before" role="img" aria-label="The picture, in grey"></canvas>
          <canvas name="after" role="img" aria-label="What the filter makes of it" tabindex="0"></canvas>
        </div>
        <p class="explorable-sum" aria-live="polite"></p>`;
    /** @param {string} name */
    const named = (name) => /** @type {any} */ (place.querySelector(`[name="${name}"]`));
    const [before, after] = [named("before"), named("after")];
    const sum = /** @type {HTMLElement} */ (place.querySelector(".explorable-sum"));

    for (const name of ["stride", "padding", "dilation"]) {
        named(name).value = state[name];
        named(name).addEventListener("input", () => change({ [name]: explorable.whole(named(name)) }));
    }
    state.kernel.forEach((_, i) =>
        named(`k${i}`).addEventListener("input", () => {
            state.kernel[i] = Number(named(`k${i}`).value) || 0;
            change({});
        }),
    );
    named("preset").addEventListener("change", () => {
        const kernel = PRESETS[named("preset").value];
        if (kernel) change({ kernel: [...kernel] }, true);
    });
    named("picture").addEventListener("change", async () => {
        const file = named("picture").files[0];
        if (file) show(await createImageBitmap(file));
    });
    after.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
        const frame = after.getBoundingClientRect();
        const column = Math.floor(((event.clientX - frame.left) / frame.width) * after.width);
        point(Math.floor(((event.clientY - frame.top) / frame.height) * after.height), column);
    });
    let [row, column] = [0, 0];
    after.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        const step = explorable.arrow(event);
        if (step) point(row + step[0], column + step[1]);
    });

    /** What the address says. */
    function read() {
        const usual = PRESETS["Edges, left to right"];
        const words = explorable.read({ kernel: usual.join(","), stride: 1, padding: 1, dilation: 1 });
        const kernel = words.kernel.split(",").map(Number);
        return { ...words, kernel: kernel.length === 9 && kernel.every(Number.isFinite) ? kernel : [...usual] };
    }

    /** @param {object} what @param {boolean} [write] the kernel's fields too */
    function change(what, write) {
        Object.assign(state, what);
        const { kernel } = state;
        explorable.write({ ...state, kernel: kernel.join(",") });
        if (write) writeKernel();
        const preset = Object.entries(PRESETS).find(([, numbers]) => numbers.every((number, i) => number === kernel[i]));
        named("preset").value = preset ? preset[0] : "";
        draw();
    }

    function writeKernel() {
        state.kernel.forEach((number, i) => (named(`k${i}`).value = String(+number.toFixed(4))));
    }

    /** @param {CanvasImageSource & { width: number, height: number }} image */
    function show(image) {
        const scale = Math.min(1, SIDE / Math.max(image.width, image.height));
        const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
        [before.width, before.height] = [width, height];
        const context = before.getContext("2d", { willReadFrequently: true });
        context.drawImage(image, 0, 0, width, height);
        const { data } = context.getImageData(0, 0, width, height);
        const pixels = new Float32Array(width * height);
        for (let i = 0; i < pixels.length; i++) {
            pixels[i] = (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255;
        }
        picture = { width, height, pixels };
        explorable.paint(before, picture, 0, 1);
        draw();
    }

    function draw() {
        if (!picture.width) return;
        const { kernel, stride, padding, dilation } = state;
        const made = wasm_bindgen.filter(picture.pixels, picture.width, Float32Array.from(kernel), stride, padding, dilation);
        result = made && { width: made.width, height: made.height, pixels: made.pixels };
        made?.free();
        if (!result) {
            sum.textContent = "The window does not fit into the picture.";
            return;
        }
        // A filter whose numbers add up to nothing gives negative values too: grey is zero then.
        const total = kernel.reduce((a, b) => a + b, 0);
        if (Math.abs(total) > 0.25) explorable.paint(after, result, 0, 1);
        else explorable.paint(after, result, -1, 1);
        point(Math.floor(result.height / 2), Math.floor(result.width / 2));
    }

    /** Shows the window of one pixel of the result, and its products. @param {number} toRow @param {number} toColumn */
    function point(toRow, toColumn) {
        if (!result) return;
        row = Math.min(Math.max(toRow, 0), result.height - 1);
        column = Math.min(Math.max(toColumn, 0), result.width - 1);
        const { kernel, stride, padding, dilation } = state;
        const [top, left] = [row * stride - padding, column * stride - padding];
        explorable.paint(before, picture, 0, 1);
        const context = before.getContext("2d");
        context.strokeStyle = "#e69f00";
        context.lineWidth = 2;
        const side = 2 * dilation + 1;
        context.strokeRect(left - 3, top - 3, side + 6, side + 6);
        const products = kernel.map((weight, i) => {
            const [y, x] = [top + Math.floor(i / 3) * dilation, left + (i % 3) * dilation];
            const inside = y >= 0 && x >= 0 && y < picture.height && x < picture.width;
            return `${(inside ? picture.pixels[y * picture.width + x] : 0).toFixed(2)}·${format(weight)}`;
        });
        const value = result.pixels[row * result.width + column];
        sum.textContent = `row ${row}, column ${column} of ${result.height}×${result.width}: ${products.join(" + ")} = ${value.toFixed(3)}`;
    }

    /** @param {number} weight */
    function format(weight) {
        const text = String(+weight.toFixed(3));
        return weight < 0 ? `(${text})` : text;
    }

    writeKernel();
    change({}, false);
    const shipped = new Image();
    shipped.onload = () => show(shipped);
    dldnaWeb.then(() => (shipped.src = dldnaPhotograph));
})();
