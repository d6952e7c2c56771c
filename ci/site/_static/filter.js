// The page `explore/filter`: a filter's numbers to change, and what it makes of a picture. The arithmetic is dldna's.
// @ts-check
(() => {
    /** @type {Record<string, number[]>} */
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
    const DRAG = { pixels: 4, step: 0.1 }; // how far a pointer moves for how much
    const NINE = [0, 1, 2, 3, 4, 5, 6, 7, 8];

    const place = /** @type {HTMLElement} */ (document.getElementById("filter-explorable"));
    const state = read();
    /** @type {Picture} */
    let picture = { width: 0, height: 0, pixels: new Float32Array() };
    /** @type {Picture | undefined} */
    let result;
    /** @type {MediaStream | undefined} */
    let camera;
    let isWaiting = false;

    const nine = (/** @type {string} */ name, /** @type {string} */ title) => `
        <div><p class="explorable-name">${title}</p>
          <div class="explorable-nine" name="${name}">${NINE.map(() => "<span></span>").join("")}</div></div>`;
    place.innerHTML = `
        <div class="explorable-filter">
          <div>
            <label>The filter <select name="preset"><option value="">your own</option>${Object.keys(PRESETS)
                .map((name) => `<option>${name}</option>`)
                .join("")}</select></label>
            <div class="explorable-kernel" role="group" aria-label="The nine numbers of the kernel">${NINE.map(
                (i) => `<input name="k${i}" type="number" step="0.25" aria-label="row ${Math.floor(i / 3) + 1}, column ${(i % 3) + 1}">`,
            ).join("")}</div>
            <p class="explorable-hint">Drag a number to the left or right, or type one.</p>
            <div class="explorable-controls">
              <label>Stride <input name="stride" type="number" min="1" max="8"></label>
              <label>Padding <input name="padding" type="number" min="0" max="8"></label>
              <label>Dilation <input name="dilation" type="number" min="1" max="16"></label>
            </div>
          </div>
          <div class="explorable-pictures">
          <figure>
            <div class="explorable-frame"><canvas name="before" role="img" aria-label="The picture, in grey"></canvas><div class="explorable-mark" name="window"></div></div>
            <figcaption name="input"></figcaption>
            <div class="explorable-controls">
              <label class="explorable-file">Your own picture <input name="picture" type="file" accept="image/*"></label>
              <button type="button" name="camera">Camera</button>
            </div>
          </figure>
          <figure>
            <div class="explorable-frame"><canvas name="after" role="img" aria-label="What the filter makes of it: arrow keys move the window" tabindex="0"></canvas><div class="explorable-mark" name="pixel"></div></div>
            <figcaption name="output"></figcaption>
          </figure>
          </div>
        </div>
        <div class="explorable-products">
          ${nine("under", "Pixels under the window")}<span aria-hidden="true">×</span>${nine("weights", "Kernel")}<span aria-hidden="true">=</span>${nine("products", "Products")}
          <p class="explorable-sum" aria-live="polite"></p>
        </div>`;
    /** @param {string} name */
    const named = (name) => /** @type {any} */ (place.querySelector(`[name="${name}"]`));
    const [before, after] = [named("before"), named("after")];
    const sum = /** @type {HTMLElement} */ (place.querySelector(".explorable-sum"));

    for (const name of /** @type {const} */ (["stride", "padding", "dilation"])) {
        named(name).value = state[name];
        named(name).addEventListener("input", () => change({ [name]: explorable.whole(named(name)) }));
    }
    for (const i of NINE) {
        const field = named(`k${i}`);
        field.addEventListener("input", () => {
            state.kernel[i] = Number(field.value) || 0;
            change({});
        });
        drag(field, i);
    }
    named("preset").addEventListener("change", () => {
        const kernel = PRESETS[named("preset").value];
        if (kernel) change({ kernel: [...kernel] });
        writeKernel();
    });
    named("picture").addEventListener("change", async () => {
        const file = named("picture").files[0];
        if (!file) return;
        stopCamera();
        try {
            show(await createImageBitmap(file));
        } catch {
            named("input").textContent = `${file.name} is no picture that this browser can read.`;
        }
    });
    named("camera").addEventListener("click", () => (camera ? stopCamera() : startCamera()));
    for (const [canvas, toUnit] of /** @type {const} */ ([
        [after, (/** @type {number} */ at) => at],
        [before, (/** @type {number} */ at) => (at - state.dilation + state.padding) / state.stride],
    ])) {
        const follow = (/** @type {PointerEvent} */ event) => {
            const frame = canvas.getBoundingClientRect();
            const column = Math.floor(((event.clientX - frame.left) / frame.width) * canvas.width);
            point(Math.round(toUnit(Math.floor(((event.clientY - frame.top) / frame.height) * canvas.height))), Math.round(toUnit(column)));
        };
        canvas.addEventListener("pointerdown", follow);
        canvas.addEventListener("pointermove", follow);
    }
    let [row, column] = [0, 0];
    after.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        const step = explorable.arrow(event);
        if (step) point(row + step[0], column + step[1]);
    });

    /** What the address says. */
    function read() {
        const usual = PRESETS["Edges, left to right"]; // and the window at the side of a balcony, where there is one
        const words = explorable.read({ kernel: usual.join(","), stride: 1, padding: 1, dilation: 1, row: 0.5325, column: 0.2217 });
        const kernel = words.kernel.split(",").map(Number);
        return { ...words, kernel: kernel.length === 9 && kernel.every(Number.isFinite) ? kernel : [...usual] };
    }

    /** A number that a pointer drags. A click without a drag is there to type. @param {HTMLInputElement} field @param {number} i */
    function drag(field, i) {
        let [from, number, isDragged] = [0, 0, false];
        field.addEventListener("mousedown", (event) => event.preventDefault()); // selects nothing
        field.addEventListener("pointerdown", (event) => {
            field.setPointerCapture(event.pointerId);
            [from, number, isDragged] = [event.clientX, state.kernel[i], false];
        });
        field.addEventListener("pointermove", (event) => {
            if (!field.hasPointerCapture(event.pointerId)) return;
            const steps = Math.round((event.clientX - from) / DRAG.pixels);
            if (!steps && !isDragged) return;
            isDragged = true;
            state.kernel[i] = number + steps * DRAG.step;
            change({});
            writeKernel();
        });
        field.addEventListener("click", () => {
            if (isDragged) return;
            field.focus();
            field.select();
        });
    }

    /** @param {object} what */
    function change(what) {
        Object.assign(state, what);
        write();
        const preset = Object.entries(PRESETS).find(([, numbers]) => numbers.every((number, i) => Math.abs(number - state.kernel[i]) < 1e-6));
        named("preset").value = preset ? preset[0] : "";
        const largest = Math.max(...state.kernel.map(Math.abs), 1e-6);
        for (const i of NINE) tint(named(`k${i}`), state.kernel[i] / largest);
        soon();
    }

    function write() {
        explorable.write({ ...state, kernel: state.kernel.map(short).join(",") });
    }

    function writeKernel() {
        for (const i of NINE) named(`k${i}`).value = short(state.kernel[i]);
    }

    /** The colour of a number from -1 to 1. @param {HTMLElement} element @param {number} share */
    function tint(element, share) {
        element.style.setProperty("--tint", share < 0 ? "var(--line)" : "var(--mark)");
        element.style.setProperty("--share", `${Math.round(40 * Math.abs(share))}%`);
    }

    /** @param {CanvasImageSource} image @param {number} [wide] @param {number} [high] */
    function show(image, wide = /** @type {any} */ (image).width, high = /** @type {any} */ (image).height) {
        const scale = Math.min(1, SIDE / Math.max(wide, high));
        const [width, height] = [wide, high].map((side) => Math.max(1, Math.round(side * scale)));
        if (before.width !== width || before.height !== height) [before.width, before.height] = [width, height];
        const context = before.getContext("2d", { willReadFrequently: true });
        context.drawImage(image, 0, 0, width, height);
        const { data } = context.getImageData(0, 0, width, height);
        const pixels = new Float32Array(width * height);
        for (let i = 0; i < pixels.length; i++) {
            pixels[i] = (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255;
        }
        picture = { width, height, pixels };
        named("input").textContent = `The picture in grey, ${width} pixels wide and ${height} high. It stays on this device.`;
        explorable.paint(before, picture, 0, 1);
        soon();
    }

    async function startCamera() {
        try {
            camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: SIDE } });
        } catch {
            named("input").textContent = "There is no camera that this page may use.";
            return;
        }
        named("camera").textContent = "Keep this picture";
        const film = document.createElement("video");
        Object.assign(film, { srcObject: camera, muted: true, playsInline: true });
        await film.play();
        const next = () => {
            if (!camera) return;
            show(film, film.videoWidth, film.videoHeight);
            requestAnimationFrame(next);
        };
        next();
    }

    function stopCamera() {
        for (const track of camera?.getTracks() ?? []) track.stop();
        camera = undefined;
        named("camera").textContent = "Camera";
    }

    /** Once before the screen is painted next, however often the numbers have changed. */
    function soon() {
        if (isWaiting || !picture.width) return;
        isWaiting = true;
        requestAnimationFrame(() => {
            isWaiting = false;
            draw();
        });
    }

    function draw() {
        const { kernel, stride, padding, dilation } = state;
        const made = wasm_bindgen.filter(picture.pixels, picture.width, Float32Array.from(kernel), stride, padding, dilation);
        result = made && { width: made.width, height: made.height, pixels: made.pixels };
        made?.free();
        if (!result) {
            sum.textContent = "The window does not fit into the picture.";
            return;
        }
        // A filter whose numbers add up to nothing gives negative values too: grey is zero then.
        const hasNegative = Math.abs(kernel.reduce((a, b) => a + b, 0)) <= 0.25;
        explorable.paint(after, result, hasNegative ? -1 : 0, 1);
        named("output").textContent = `The result, ${result.width} pixels wide and ${result.height} high: ${hasNegative ? "grey is 0, brighter above, darker below" : "black is 0 and below, white 1 and above"}.`;
        point(Math.floor(state.row * result.height), Math.floor(state.column * result.width));
    }

    /** Shows the window of one pixel of the result, and its products. @param {number} toRow @param {number} toColumn */
    function point(toRow, toColumn) {
        if (!result) return;
        row = Math.min(Math.max(toRow, 0), result.height - 1);
        column = Math.min(Math.max(toColumn, 0), result.width - 1);
        [state.row, state.column] = [(row + 0.5) / result.height, (column + 0.5) / result.width].map((share) => Number(share.toFixed(4)));
        write();
        const { kernel, stride, padding, dilation } = state;
        const [top, left] = [row * stride - padding, column * stride - padding];
        mark(named("window"), picture, top, left, 2 * dilation + 1);
        mark(named("pixel"), result, row, column, 1);
        const under = NINE.map((i) => {
            const [y, x] = [top + Math.floor(i / 3) * dilation, left + (i % 3) * dilation];
            const isInside = y >= 0 && x >= 0 && y < picture.height && x < picture.width;
            return isInside ? picture.pixels[y * picture.width + x] : 0;
        });
        const products = under.map((pixel, i) => pixel * kernel[i]);
        const largest = (/** @type {number[]} */ numbers) => Math.max(...numbers.map(Math.abs), 1e-6);
        const fill = (/** @type {string} */ name, /** @type {number[]} */ numbers, /** @type {(cell: HTMLElement, number: number) => void} */ color) =>
            numbers.forEach((number, i) => {
                const cell = named(name).children[i];
                cell.textContent = explorable.minus(name === "weights" ? short(number) : number.toFixed(2));
                color(cell, number);
            });
        fill("under", under, (cell, pixel) => {
            const grey = Math.round(255 * pixel);
            cell.style.background = `rgb(${grey} ${grey} ${grey})`;
            cell.style.color = pixel > 0.5 ? "#000" : "#fff";
        });
        fill("weights", kernel, (cell, weight) => tint(cell, weight / largest(kernel)));
        fill("products", products, (cell, product) => tint(cell, product / largest(products)));
        const value = result.pixels[row * result.width + column];
        sum.textContent = `The sum, ${explorable.minus(value.toFixed(3))}, is the pixel in row ${row} and column ${column} of the result.`;
    }

    /** Lays a frame around a square of pixels, which is never too small to be seen. @param {HTMLElement} frame @param {Picture} around @param {number} top @param {number} left @param {number} side */
    function mark(frame, { width, height }, top, left, side) {
        const percent = (/** @type {number} */ pixels, /** @type {number} */ all) => `${(100 * pixels) / all}%`;
        Object.assign(frame.style, { left: percent(left + side / 2, width), top: percent(top + side / 2, height), width: percent(side, width), height: percent(side, height) });
    }

    /** @param {number} number */
    function short(number) {
        return String(+number.toFixed(4));
    }

    writeKernel();
    change({});
    const shipped = new Image();
    shipped.onload = () => show(shipped);
    dldnaWeb.then(() => (shipped.src = dldnaPhotograph));
})();
