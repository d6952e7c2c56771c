// The page `explore/layers`: a digit to draw, and what each channel of a trained network makes of it. The numbers are dldna's.
// @ts-check
(() => {
    /** The layers that are shown: channels, side, and where they stand in STACK. */
    const LAYERS = [
        { name: "First convolution", channels: 8, side: 28, window: 0 },
        { name: "Second convolution", channels: 16, side: 14, window: 2 },
        { name: "Third convolution", channels: 32, side: 7, window: 4 },
    ];
    /** The network's windows, for `stack`. */
    const STACK = [[8, 5, 1, 2, 1], [0, 2, 2, 0, 1], [16, 3, 1, 1, 1], [0, 2, 2, 0, 1], [32, 3, 1, 1, 1]];
    const SIDE = 28;
    const PAPER = 280; // side of the canvas to draw on
    const PEN = 22;
    const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; // a place on the paper, from 0 to 63
    const MOST_POINTS = 600;
    const LOGIT = 10; // what a bar of full length says at least

    const place = /** @type {HTMLElement} */ (document.getElementById("layers-explorable"));
    /** `image` is one of the test images, `strokes` what was drawn in its place. */
    const state = explorable.read({ image: 0, strokes: "", layer: 0, channel: 0 });

    place.innerHTML = `
        <div class="explorable-controls" role="group" aria-label="A digit of the test images">
          <span>A test image of a</span> ${Array.from({ length: 10 }, (_, digit) => `<button type="button" name="digit">${digit}</button>`).join("")}
        </div>
        <div class="explorable-drawing">
          <figure>
            <canvas name="paper" width="${PAPER}" height="${PAPER}" tabindex="0" role="img" aria-label="A place to draw a digit: arrow keys move the pen, space puts it down or lifts it"></canvas>
            <figcaption>Draw with mouse or finger, or with arrow keys and space. <button type="button" name="clear">Clear</button></figcaption>
          </figure>
          <figure><canvas name="image" role="img" aria-label="The image that the network gets"></canvas><figcaption>What the network sees: 28×28 pixels</figcaption></figure>
          <table class="explorable-bars"><thead><tr><th>Digit</th><th colspan="2">Logit</th><th>Probability</th></tr></thead>
            <tbody>${Array.from({ length: 10 }, (_, digit) => `<tr><th scope="row">${digit}</th><td><span class="explorable-bar"></span></td><td class="explorable-number"></td><td class="explorable-number"></td></tr>`).join("")}</tbody></table>
        </div>
        <p class="explorable-answer" aria-live="polite"></p>
        ${LAYERS.map(({ name, channels, side }, layer) => `
        <p class="explorable-name">${name}: ${channels} channels of ${side}×${side}, after ReLU</p>
        <div class="explorable-channels">${Array.from({ length: channels }, (_, channel) => `
          <button type="button" data-layer="${layer}" data-channel="${channel}" aria-label="channel ${channel} of the ${name.toLowerCase()}"><canvas></canvas></button>`).join("")}</div>`).join("")}
        <p class="explorable-name" name="chosen"></p>
        <div class="explorable-detail">
          <figure><div class="explorable-kernels" name="kernels" role="img"></div><figcaption>Its weights: grey is 0, white above, black below</figcaption></figure>
          <figure><canvas name="exciting" role="img" aria-label="The training image that excites this channel most"></canvas><figcaption>The training image that excites it most, and the window that did</figcaption></figure>
        </div>`;
    /** @param {string} name */
    const named = (name) => /** @type {any} */ (place.querySelector(`[name="${name}"]`));
    const paper = /** @type {HTMLCanvasElement} */ (named("paper"));
    const pen = /** @type {CanvasRenderingContext2D} */ (paper.getContext("2d", { willReadFrequently: true }));
    const channels = /** @type {HTMLButtonElement[]} */ ([...place.querySelectorAll(".explorable-channels button")]);
    const bars = /** @type {HTMLTableRowElement[]} */ ([...place.querySelectorAll(".explorable-bars tbody tr")]);
    const answer = /** @type {HTMLElement} */ (place.querySelector(".explorable-answer"));
    /** @type {wasm_bindgen.Digits} */
    let network;
    /** @type {Record<"train" | "test", { pixels: Uint8Array, labels: Uint8Array }>} */
    let digits;
    let isWaiting = false;
    /** Where the keyboard's pen is on the paper, from 0 to 1, and whether it draws. */
    const keys = { x: 0.5, y: 0.25, isDown: false };

    paper.addEventListener("pointerdown", (event) => {
        paper.setPointerCapture(event.pointerId);
        begin();
        extend(...share(event));
    });
    paper.addEventListener("pointermove", (event) => {
        if (paper.hasPointerCapture(event.pointerId)) extend(...share(event));
    });
    paper.addEventListener("keydown", (event) => {
        const step = explorable.arrow(event);
        if (event.key === " ") {
            event.preventDefault(); // which scrolls
            keys.isDown = !keys.isDown;
            if (keys.isDown) begin();
        } else if (step) {
            [keys.y, keys.x] = [keys.y, keys.x].map((share, axis) => Math.min(Math.max(share + step[axis] / 32, 0), 1));
        } else {
            return;
        }
        if (keys.isDown) extend(keys.x, keys.y);
        soon();
    });
    paper.addEventListener("focus", soon);
    paper.addEventListener("blur", () => {
        keys.isDown = false;
        soon();
    });
    named("clear").addEventListener("click", () => {
        Object.assign(state, { image: -1, strokes: "" });
        soon();
    });
    for (const [digit, button] of place.querySelectorAll('[name="digit"]').entries()) {
        button.addEventListener("click", () => {
            const { labels } = digits.test;
            // The next image of this digit, over and over.
            const next = labels.indexOf(digit, state.image + 1);
            Object.assign(state, { image: next < 0 ? labels.indexOf(digit) : next, strokes: "" });
            soon();
        });
    }
    for (const button of channels) {
        button.addEventListener("click", () => {
            state.layer = Number(button.dataset.layer);
            state.channel = Number(button.dataset.channel);
            choose();
        });
    }

    /** A new stroke: the first one takes the place of a test image. */
    function begin() {
        state.image = -1;
        state.strokes += state.strokes && ".";
    }

    /** Draws on to where the pen is, from 0 to 1. @param {number} x @param {number} y */
    function extend(x, y) {
        const letter = (/** @type {number} */ share) => LETTERS[Math.min(Math.max(Math.floor(64 * share), 0), 63)];
        const point = letter(x) + letter(y);
        if (state.strokes.endsWith(point) || state.strokes.length > 2 * MOST_POINTS) return;
        state.strokes += point;
        soon();
    }

    /** Where on the paper, from 0 to 1. @param {PointerEvent} event @returns {[number, number]} */
    function share(event) {
        const frame = paper.getBoundingClientRect();
        return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
    }

    /** Once before the screen is painted next, however often the pen has moved. */
    function soon() {
        if (isWaiting) return;
        isWaiting = true;
        requestAnimationFrame(() => {
            isWaiting = false;
            look();
        });
    }

    /** Shows what the network makes of the image. */
    function look() {
        explorable.write(state);
        const image = state.image >= 0 ? tested(state.image) : drawn();
        decorate();
        explorable.paint(named("image"), { width: SIDE, height: SIDE, pixels: image }, 0, 1);
        const values = network.activations(image);
        let start = 0;
        for (const button of channels) {
            const { side } = LAYERS[Number(button.dataset.layer)];
            const pixels = values.subarray(start, start + side * side);
            start += side * side;
            explorable.paint(/** @type {HTMLCanvasElement} */ (button.firstElementChild), { width: side, height: side, pixels }, 0, exciting(button)[3] || 1, glow);
        }
        const logits = [...values.subarray(start)];
        const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
        const shares = powers.map((power) => power / powers.reduce((a, b) => a + b));
        const largest = Math.max(...logits.map(Math.abs), LOGIT);
        bars.forEach((row, digit) => {
            const bar = /** @type {HTMLElement} */ (row.cells[1].firstElementChild);
            const width = (50 * Math.abs(logits[digit])) / largest;
            Object.assign(bar.style, { width: `${width}%`, left: `${logits[digit] < 0 ? 50 - width : 50}%` });
            row.cells[2].textContent = explorable.minus(logits[digit].toFixed(1));
            row.cells[3].textContent = `${(100 * shares[digit]).toFixed(1)}%`;
        });
        const best = shares.indexOf(Math.max(...shares));
        for (const [digit, row] of bars.entries()) row.classList.toggle("explorable-best", digit === best);
        const truth = state.image >= 0 ? ` It is a ${digits.test.labels[state.image]}, image ${state.image} of the test images.` : "";
        answer.textContent = `The network reads a ${best}, with a probability of ${(100 * shares[best]).toFixed(1)}%.${truth}`;
    }

    /** @param {number} image */
    function tested(image) {
        const pixels = digits.test.pixels.subarray(image * SIDE * SIDE, (image + 1) * SIDE * SIDE);
        clear();
        return Float32Array.from(pixels, (pixel) => pixel / 255);
    }

    function clear() {
        pen.fillStyle = "#000";
        pen.fillRect(0, 0, PAPER, PAPER);
    }

    /** What is on the paper and does not belong to the drawing: a word where there is none, and the keyboard's pen. */
    function decorate() {
        if (!state.strokes) {
            Object.assign(pen, { fillStyle: "#bbb", font: "22px sans-serif", textAlign: "center" });
            pen.fillText("Draw a digit here", PAPER / 2, PAPER / 2);
        }
        if (document.activeElement !== paper || !paper.matches(":focus-visible")) return;
        Object.assign(pen, { strokeStyle: "#e69f00", fillStyle: "#e69f00", lineWidth: 2 });
        pen.beginPath();
        pen.arc(keys.x * PAPER, keys.y * PAPER, PEN / 2, 0, 2 * Math.PI);
        if (keys.isDown) pen.fill();
        else pen.stroke();
    }

    /** The strokes on the paper, and as MNIST would show them. */
    function drawn() {
        clear();
        Object.assign(pen, { strokeStyle: "#fff", lineWidth: PEN, lineCap: "round", lineJoin: "round" });
        for (const stroke of state.strokes.split(".")) {
            const points = [...stroke].map((letter) => ((LETTERS.indexOf(letter) + 0.5) * PAPER) / 64);
            pen.beginPath();
            for (let i = 0; i + 1 < points.length; i += 2) pen.lineTo(points[i], points[i + 1]);
            if (points.length === 2) pen.lineTo(points[0], points[1] + 0.1); // a dot
            pen.stroke();
        }
        const { data } = pen.getImageData(0, 0, PAPER, PAPER);
        return wasm_bindgen.centred(Float32Array.from({ length: PAPER * PAPER }, (_, i) => data[4 * i] / 255), PAPER);
    }

    /** From black over orange to white. @param {number} share */
    function glow(share) {
        return [Math.min(510 * share, 255), 255 * share ** 1.2, Math.max(510 * share - 255, 0)];
    }

    /** Image, row, column and value of the largest value in the training images. @param {HTMLButtonElement} button @returns {number[]} */
    function exciting(button) {
        return dldnaDigits.exciting[channels.indexOf(button)];
    }

    /** Shows the chosen channel's weights, and what excites it. */
    function choose() {
        explorable.write(state);
        const { name, window } = LAYERS[state.layer];
        const chosen = channels.find((button) => Number(button.dataset.layer) === state.layer && Number(button.dataset.channel) === state.channel);
        for (const button of channels) button.setAttribute("aria-pressed", String(button === chosen));
        const weights = network.weights(state.layer, state.channel);
        const size = STACK[window][1] ** 2;
        const kernels = Array.from({ length: weights.length / size }, (_, i) => {
            const canvas = document.createElement("canvas");
            explorable.paintKernel(canvas, weights.subarray(i * size, (i + 1) * size));
            canvas.style.width = canvas.style.height = `${[8, 4.5, 3][state.layer]}rem`; // one, eight and sixteen of them
            return canvas;
        });
        named("kernels").replaceChildren(...kernels);
        named("kernels").setAttribute("aria-label", `${kernels.length} kernels`);
        const [image, row, column, value] = exciting(/** @type {HTMLButtonElement} */ (chosen));
        named("chosen").textContent = `${name}, channel ${state.channel}: ${kernels.length} ${kernels.length > 1 ? "kernels, one for each channel before it" : "kernel"}; ${value ? `at most ${value.toFixed(2)}, in a ${digits.train.labels[image]}` : "no training image excites it"}`;
        const pixels = Float32Array.from(digits.train.pixels.subarray(image * SIDE * SIDE, (image + 1) * SIDE * SIDE), (pixel) => pixel / 255);
        const canvas = named("exciting");
        const scale = 8;
        const large = Float32Array.from({ length: (SIDE * scale) ** 2 }, (_, i) => pixels[Math.floor(i / (SIDE * scale * scale)) * SIDE + Math.floor((i % (SIDE * scale)) / scale)]);
        explorable.paint(canvas, { width: SIDE * scale, height: SIDE * scale, pixels: large }, 0, 1);
        const cost = wasm_bindgen.stack(SIDE, 1, Uint32Array.from(STACK.flat())).layers[window];
        const context = canvas.getContext("2d");
        Object.assign(context, { strokeStyle: "#e69f00", lineWidth: 3 });
        const [top, left] = [row, column].map((unit) => scale * (cost.start + unit * cost.jump));
        context.strokeRect(left, top, scale * cost.receptive_field, scale * cost.receptive_field);
    }

    async function start() {
        await dldnaWeb;
        network = new wasm_bindgen.Digits(explorable.bytes(dldnaDigits.weights));
        digits = await dldnaMnist();
        if (state.strokes) state.image = -1;
        if (!(state.image < digits.test.labels.length)) state.image = 0;
        if (!channels.some((button) => Number(button.dataset.layer) === state.layer && Number(button.dataset.channel) === state.channel)) {
            [state.layer, state.channel] = [0, 0];
        }
        look();
        choose();
    }
    start();
})();
