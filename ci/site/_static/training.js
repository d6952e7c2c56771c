// The page `explore/training`: a small network that learns digits, in a worker. The arithmetic is dldna's.
// @ts-check
(() => {
    const CHOICES = { width: [4, 8, 16], depth: [2, 6, 12], rate: [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1] };
    const EVERY = 10; // steps from one test to the next
    const CHART = { width: 320, height: 180 };

    const place = /** @type {HTMLElement} */ (document.getElementById("training-explorable"));
    const state = /** @type {Record<string, number>} */ (explorable.read({ width: 8, depth: 6, shortcut: 1, rate: 0.003, seed: 0 }));
    for (const [name, choices] of Object.entries(CHOICES)) if (!choices.includes(state[name])) state[name] = choices[1];

    /** @param {string} label @param {keyof typeof CHOICES} name */
    const select = (label, name) => `<label>${label} <select name="${name}">${CHOICES[name].map((choice) => `<option>${choice}</option>`).join("")}</select></label>`;
    /** @param {string} name @param {string} title */
    const chart = (name, title) => `<figure><svg name="${name}" class="explorable-chart" viewBox="0 0 ${CHART.width} ${CHART.height}" role="img" aria-label="${title}"></svg><figcaption>${title}</figcaption></figure>`;
    place.innerHTML = `
        <div class="explorable-controls">
          ${select("Channels", "width")} ${select("Convolutions after the first", "depth")}
          <label><input name="shortcut" type="checkbox"> Shortcuts</label>
          ${select("Learning rate", "rate")}
          <label>Seed <input name="seed" type="number" min="0" max="9999"></label>
        </div>
        <div class="explorable-controls">
          <button type="button" name="run" class="explorable-first">Start</button> <button type="button" name="step">One step</button> <button type="button" name="reset">Reset</button>
        </div>
        <p class="explorable-sum" name="said" role="status"></p>
        <div class="explorable-pictures">${chart("loss", "Loss of each batch")} ${chart("accuracy", "Accuracy on the test images")}</div>
        <p class="explorable-hint" name="earlier" hidden>The grey line is the network before, to compare with.</p>
        <p class="explorable-name">The kernels of the first convolution: grey is 0, white above, black below</p>
        <div class="explorable-kernels explorable-large" name="filters" role="img" aria-label="The kernels of the first convolution"></div>`;
    /** @param {string} name */
    const named = (name) => /** @type {any} */ (place.querySelector(`[name="${name}"]`));

    /** @type {Worker | undefined} */
    let worker;
    let isRunning = false;
    /** @typedef {{ losses: number[], accuracies: [number, number][], started: number, before: number }} Course */
    /** @type {Course} */
    let course = { losses: [], accuracies: [], started: 0, before: 0 };
    /** The network before this one, to compare with. @type {Course | undefined} */
    let earlier;

    for (const name of ["width", "depth", "rate"]) {
        named(name).value = String(state[name]);
        named(name).addEventListener("change", () => choose(name, Number(named(name).value)));
    }
    named("seed").value = String(state.seed);
    named("seed").addEventListener("change", () => choose("seed", explorable.whole(named("seed"))));
    named("shortcut").checked = Boolean(state.shortcut);
    named("shortcut").addEventListener("change", () => choose("shortcut", Number(named("shortcut").checked)));
    named("run").addEventListener("click", () => run(!isRunning));
    named("step").addEventListener("click", () => {
        run(false);
        worker?.postMessage({ step: true });
    });
    named("reset").addEventListener("click", reset);

    /** @param {string} name @param {number} value */
    function choose(name, value) {
        Object.assign(state, { [name]: value });
        explorable.write(state);
        if (name === "rate") worker?.postMessage({ rate: value });
        else reset();
    }

    /** @param {boolean} yes */
    function run(yes) {
        isRunning = yes;
        named("run").textContent = yes ? "Pause" : course.losses.length ? "Go on" : "Start";
        [course.started, course.before] = [performance.now(), course.losses.length];
        worker?.postMessage({ run: yes });
    }

    /** A new network. */
    function reset() {
        const { width, depth, shortcut, rate, seed } = state;
        if (course.losses.length > EVERY) earlier = course;
        course = { losses: [], accuracies: [], started: 0, before: 0 };
        run(false);
        worker?.postMessage({ network: [width, depth, Boolean(shortcut), seed], rate });
        show();
    }

    /** What the worker says. @param {{ loss?: number, accuracy?: number, filters: Float32Array, error?: string }} news */
    function hear({ loss, accuracy, filters, error }) {
        if (error) {
            run(false);
            named("said").textContent = error;
            return;
        }
        if (loss !== undefined) course.losses.push(loss);
        if (accuracy !== undefined) course.accuracies.push([course.losses.length, accuracy]);
        if (loss !== undefined && !Number.isFinite(loss)) {
            run(false);
            named("said").textContent = "The loss is no number any more: the learning rate is too high.";
            return;
        }
        const size = 25;
        const kernels = Array.from({ length: filters.length / size }, (_, i) => named("filters").children[i] ?? document.createElement("canvas"));
        for (const [i, canvas] of kernels.entries()) explorable.paintKernel(canvas, filters.subarray(i * size, (i + 1) * size));
        named("filters").replaceChildren(...kernels);
        show();
    }

    function show() {
        const { losses, accuracies, started, before } = course;
        const passes = (losses.length * 32) / 1000;
        const last = accuracies.at(-1);
        const speed = isRunning && losses.length > before ? `, ${((1000 * (losses.length - before)) / (performance.now() - started)).toFixed(0)} steps a second` : "";
        named("said").textContent = losses.length
            ? `Step ${losses.length}, ${passes.toFixed(1)} times through the 1,000 images${speed}: loss ${losses[losses.length - 1].toFixed(3)}${last ? `, ${(100 * last[1]).toFixed(1)}% of the 200 test images right` : ""}.`
            : `A new network${last ? `: ${(100 * last[1]).toFixed(1)}% of the 200 test images right` : ""}. Chance is 10%. Press Start.`;
        const courses = earlier ? [earlier, course] : [course];
        named("earlier").hidden = !earlier;
        const steps = Math.max(100, ...courses.map(({ losses }) => losses.length));
        const highest = Math.max(2.5, ...courses.flatMap(({ losses }) => losses.slice(0, 20)));
        plot(named("loss"), courses.map(({ losses }) => losses.map((loss, i) => [i + 1, loss])), steps, highest);
        plot(named("accuracy"), courses.map(({ accuracies }) => accuracies), steps, 1);
    }

    /** Lines from 0 to `steps` and from 0 to `most`, the last one in front. @param {SVGElement} svg @param {number[][][]} lines @param {number} steps @param {number} most */
    function plot(svg, lines, steps, most) {
        const [left, right, top, bottom] = [34, CHART.width - 8, 8, CHART.height - 22];
        const x = (/** @type {number} */ step) => left + ((right - left) * step) / steps;
        const y = (/** @type {number} */ value) => bottom - ((bottom - top) * Math.min(value, most)) / most;
        const text = (/** @type {string} */ words, /** @type {object} */ at) => {
            const element = explorable.drawn("text", { ...at });
            element.textContent = words;
            return element;
        };
        const levels = [0, 0.25, 0.5, 0.75, 1].map((share) => share * most);
        svg.replaceChildren(
            ...levels.flatMap((level) => [
                explorable.drawn("line", { x1: left, x2: right, y1: y(level), y2: y(level) }),
                text(most === 1 ? `${100 * level}%` : level.toFixed(1), { x: left - 4, y: y(level) + 4, "text-anchor": "end" }),
            ]),
            text("0", { x: left, y: CHART.height - 6 }),
            text(`${steps} steps`, { x: right, y: CHART.height - 6, "text-anchor": "end" }),
            ...lines.map((points) => explorable.drawn("polyline", { points: points.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ") })),
        );
    }

    /** What runs in the worker, which has nothing of this page but this text. */
    function work() {
        /** @type {wasm_bindgen.Training | undefined} */
        let training;
        /** @type {any} */
        let data;
        let [rate, isRunning, steps] = [0.001, false, 0];
        const say = (/** @type {object} */ news) => postMessage({ ...news, filters: training?.filters() });

        function step() {
            if (!training) return;
            const loss = training.step(rate);
            steps += 1;
            say(steps % data.every === 0 ? { loss, accuracy: training.accuracy() } : { loss });
        }
        function goOn() {
            if (!isRunning) return;
            try {
                step();
                setTimeout(goOn); // between two steps messages are heard
            } catch (error) {
                say({ error: String(error) });
            }
        }
        self.onmessage = async ({ data: message }) => {
            try {
                if (message.module) {
                    await wasm_bindgen({ module_or_path: message.module });
                    data = message;
                }
                if (message.rate) rate = message.rate;
                if (message.network) {
                    training?.free();
                    const [width, depth, shortcut, seed] = message.network;
                    const [pixels, labels, testPixels, testLabels] = data.images;
                    training = new wasm_bindgen.Training(width, depth, shortcut, seed, pixels, labels, testPixels, testLabels);
                    steps = 0;
                    say({ accuracy: training.accuracy() });
                }
                if (message.step) step();
                if (message.run !== undefined && message.run !== isRunning) {
                    isRunning = message.run;
                    goOn();
                }
            } catch (error) {
                say({ error: String(error) });
            }
        };
    }

    async function start() {
        const { train, test } = await dldnaMnist();
        // A page from a disk may start no worker from a file, but from a text of its own.
        const text = `${dldnaGlue}\nconst wasm_bindgen = dldnaGlue();\n(${work})();`;
        worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
        worker.onmessage = ({ data }) => hear(data);
        worker.onerror = ({ message }) => hear({ error: message, filters: new Float32Array() });
        const images = [train.pixels, train.labels, test.pixels, test.labels];
        worker.postMessage({ module: await dldnaModule, images, every: EVERY, rate: state.rate, network: [state.width, state.depth, Boolean(state.shortcut), state.seed] });
    }
    show();
    start();
})();
