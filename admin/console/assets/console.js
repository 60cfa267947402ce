// What the pages do beyond links and forms: refresh themselves, draw plots, take keys.
// Everything works without it, only less conveniently.
"use strict";

(() => {
	const byID = (id) => document.getElementById(id);
	const every = 5000, most = 60000;

	// ----- Refreshing: only the part that changes, and only what differs in it.
	let wait = every, timer = 0, lastGood = new Date();

	function live() {
		return byID("live");
	}

	function schedule() {
		clearTimeout(timer);
		if (live() && !document.hidden) timer = setTimeout(refresh, wait);
	}

	function refresh() {
		if (live()) htmx.trigger(live(), "refresh");
	}

	function answered() {
		wait = every;
		lastGood = new Date();
		byID("offline").hidden = true;
		schedule();
	}

	function silent() {
		wait = Math.min(wait * 2, most);
		byID("offline-since").textContent = lastGood.toISOString().slice(11, 19) + " UTC";
		byID("offline").hidden = false;
		schedule();
	}

	document.addEventListener("htmx:afterRequest", (e) => {
		if (e.target.id !== "live" && e.detail.elt.id !== "live") return;
		if (e.detail.successful) answered();
		else silent();
	});
	document.addEventListener("visibilitychange", () => {
		if (document.hidden) clearTimeout(timer);
		else refresh();
	});
	addEventListener("online", refresh);

	// What people have opened, chosen or drawn stays as it is when the page is refreshed.
	if (window.Idiomorph) {
		Object.assign(Idiomorph.defaults.callbacks, {
			beforeNodeMorphed: (from, to) => {
				if (from.nodeType !== 1) return true;
				if (from.hasAttribute("data-keep") && to.hasAttribute?.("data-keep")) return false;
				return !(from === document.activeElement && from.matches("input, select, textarea"));
			},
			beforeAttributeUpdated: (name, node) => {
				if (name === "open" && node.tagName === "DETAILS") return false;
				if (name === "class" && node.classList.contains("at")) return false;
				return !((name === "value" || name === "checked" || name === "selected") && node.closest("form"));
			},
		});
	}
	// What had the focus may be gone, with its row: the focus stays near.
	let focused = null;
	document.addEventListener("htmx:beforeSwap", () => {
		const now = document.activeElement;
		focused = now && now !== document.body ? now : null;
	});
	document.addEventListener("htmx:afterSwap", () => {
		times();
		draw();
		if (focused && !focused.isConnected && (!document.activeElement || document.activeElement === document.body)) byID("main").focus({ preventScroll: true });
	});

	// ----- Times: as seen from now, or exact.
	let exactly = false;

	function times() {
		if (!exactly) return;
		for (const t of document.querySelectorAll("time[data-exact]")) t.textContent = t.dataset.exact;
	}

	function toggleTimes() {
		exactly = !exactly;
		for (const t of document.querySelectorAll("time[data-exact]")) {
			t.textContent = exactly ? t.dataset.exact : t.dataset.relative;
		}
	}
	for (const kind of ["focusin", "focusout"]) {
		document.addEventListener(kind, (e) => {
			const t = e.target;
			if (!(t instanceof Element) || !t.matches("time.exact")) return;
			t.textContent = kind === "focusin" || exactly ? t.dataset.exact : t.dataset.relative;
		});
	}

	// ----- Plots: drawn from the figures that the page also has as a table.
	const plots = new Map(); // canvas → uPlot

	function colour(name) {
		return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
	}

	function short(v) {
		if (v === null || v === undefined) return "";
		const a = Math.abs(v);
		if (a >= 1e9) return +(v / 1e9).toFixed(1) + "G";
		if (a >= 1e6) return +(v / 1e6).toFixed(1) + "M";
		if (a >= 1e4) return +(v / 1e3).toFixed(1) + "k";
		return String(+v.toFixed(2));
	}

	function span(v) {
		if (v === null || v === undefined) return "";
		if (v < 120) return short(v) + " s";
		if (v < 7200) return +(v / 60).toFixed(1) + " min";
		if (v < 172800) return +(v / 3600).toFixed(1) + " h";
		return +(v / 86400).toFixed(1) + " d";
	}

	function options(figure, width) {
		const names = figure.dataset.series.split(","), titles = figure.dataset.labels.split(",");
		const axis = { stroke: colour("--dim"), grid: { stroke: colour("--plot-grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
		return {
			width, height: 170, tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
			legend: { show: false }, cursor: { drag: { x: false, y: false }, points: { size: 6 } },
			scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
			axes: [
				{ ...axis, size: 26, values: (_, at) => at.map((t) => new Date(t * 1000).toISOString().slice(11, 16)) },
				{ ...axis, size: 60, values: (_, at) => at.map(names[0] === "lag_seconds" ? span : short) },
			],
			series: [{}, ...names.map((n, i) => {
				const line = colour(n === "dead_lettered" ? "--plot-2" : "--plot-1");
				return { label: titles[i], stroke: line, width: 1.75, fill: i === 0 ? line + "22" : undefined, points: { show: false }, spanGaps: false };
			})],
		};
	}

	async function draw() {
		const bySource = new Map();
		for (const f of document.querySelectorAll("figure.plot")) {
			if (f.querySelector(".canvas")) (bySource.get(f.dataset.src) ?? bySource.set(f.dataset.src, []).get(f.dataset.src)).push(f);
		}
		for (const [canvas, plot] of plots) {
			if (!canvas.isConnected) {
				plot.destroy();
				plots.delete(canvas);
			}
		}
		for (const [source, figures] of bySource) {
			let h;
			try {
				const answer = await fetch(source, { headers: { "HX-Target": "live" } });
				if (!answer.ok) continue;
				h = await answer.json();
			} catch {
				continue; // the page's own refresh says that the server is away
			}
			const steps = Math.max(...["delivered", "lag"].map((n) => h[n]?.length ?? 0));
			const at = Array.from({ length: steps }, (_, i) => h.from + (i + 1) * h.step);
			for (const f of figures) {
				const canvas = f.querySelector(".canvas");
				if (!canvas || canvas.clientWidth === 0) continue;
				const data = [at, ...f.dataset.series.split(",").map((n) => h[n] ?? at.map(() => null))];
				const plot = plots.get(canvas);
				if (plot) plot.setData(data);
				else plots.set(canvas, new uPlot(options(f, canvas.clientWidth), data, canvas));
			}
		}
	}

	function redraw() {
		for (const plot of plots.values()) plot.destroy();
		plots.clear();
		draw();
	}
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
	let resizing = 0;
	addEventListener("resize", () => {
		clearTimeout(resizing);
		resizing = setTimeout(() => {
			for (const [canvas, plot] of plots) plot.setSize({ width: canvas.clientWidth, height: 170 });
		}, 150);
	});

	// ----- Keys.
	let went = 0; // when g was pressed

	function rows() {
		return [...document.querySelectorAll("table.rows tbody tr")];
	}

	function move(by) {
		const all = rows();
		if (!all.length) return;
		const now = all.findIndex((r) => r.contains(document.activeElement) || r.classList.contains("at"));
		const next = all[Math.min(Math.max(now + by, 0), all.length - 1)];
		for (const r of all) r.classList.remove("at");
		next.classList.add("at");
		next.querySelector("a, input, button")?.focus();
		next.scrollIntoView({ block: "nearest" });
	}

	document.addEventListener("keydown", (e) => {
		const field = e.target.closest?.("input:not([type=checkbox], [type=radio]), select, textarea");
		if (e.key === "Escape" && field) {
			field.blur();
			return;
		}
		const back = e.key === "Escape" && !byID("help")?.open && document.querySelector("main [data-cancel]");
		if (back) {
			back.click();
			return;
		}
		if (field || e.ctrlKey || e.metaKey || e.altKey || byID("help")?.open) return;
		if (Date.now() - went < 1500) {
			went = 0;
			const to = [...document.querySelectorAll("nav a[data-key]")].find((a) => a.dataset.key === e.key);
			if (to) {
				e.preventDefault();
				to.click();
			}
			return;
		}
		switch (e.key) {
		case "/":
			if (!byID("search")) return;
			byID("search").focus();
			byID("search").select();
			break;
		case "?": byID("help").showModal(); break;
		case "g": went = Date.now(); break;
		case "j": move(1); break;
		case "k": move(-1); break;
		case "t": toggleTimes(); break;
		case "r": refresh(); break;
		default: return;
		}
		e.preventDefault();
	});

	// ----- The live tail: the newest first, bounded, and still while it is paused.
	const tail = byID("tail");

	function follow() {
		const most = +tail.dataset.most, waiting = [];
		let paused = false, shown = 0, dropped = 0;

		function element(name, cls, content) {
			const e = document.createElement(name);
			e.className = cls;
			e.textContent = content;
			return e;
		}

		function row(e) {
			const r = element("div", "event", ""), head = element("p", "", ""), link = element("a", "id", e.id);
			link.href = e.link;
			head.append(element("span", "when", e.time.slice(11, 19)), element("strong", "id", e.action), element("span", "id", e.organization), link, element("small", "id", e.at));
			r.append(head);
			if (e.invalid) r.append(element("p", "invalid", "No valid event: " + e.invalid));
			if (e.event) {
				const payload = document.createElement("details");
				payload.append(element("summary", "", "Payload"), element("pre", "", e.event));
				r.append(payload);
			}
			return r;
		}

		function show(e) {
			if (e.missed) tail.prepend(element("p", "missed", e.missed + " events came too fast to be shown"));
			tail.prepend(row(e));
			while (tail.children.length > most) tail.lastChild.remove();
			byID("tail-empty").hidden = true;
			byID("tail-count").textContent = ++shown + " shown";
		}

		function say(text) {
			if (byID("tail-state").textContent !== text) byID("tail-state").textContent = text;
		}

		byID("tail-pause").addEventListener("click", (e) => {
			paused = !paused;
			e.currentTarget.setAttribute("aria-pressed", paused);
			say(paused ? "Paused" : "Following");
			if (!paused) {
				if (dropped) tail.prepend(element("p", "missed", dropped + " events came during the pause and are not shown"));
				dropped = 0;
				for (const w of waiting.splice(0)) show(w);
			}
		});
		byID("tail-clear").addEventListener("click", () => tail.replaceChildren());

		const source = new EventSource(tail.dataset.src);
		source.addEventListener("open", () => {
			say(paused ? "Paused" : "Following");
			byID("tail-empty").hidden = tail.children.length > 0;
			if (tail.children.length) tail.replaceChildren(); // what follows begins with the last events again
		});
		source.addEventListener("event", (m) => {
			const e = JSON.parse(m.data);
			if (!paused) show(e);
			else if (waiting.push(e) > most) {
				waiting.shift();
				dropped++;
			}
		});
		source.addEventListener("problem", (m) => {
			source.close();
			say("Ended: " + JSON.parse(m.data));
		});
		source.addEventListener("error", () => {
			say(source.readyState === EventSource.CLOSED ? "Ended. Load the page again to go on." : "The server does not answer. Trying again…");
		});
	}
	if (tail) follow();

	// ----- A box that chooses all of a list.
	document.addEventListener("change", (e) => {
		const name = e.target.dataset?.all;
		if (name) for (const box of e.target.form.querySelectorAll(`input[name="${name}"]`)) box.checked = e.target.checked;
	});

	// ----- What is wrong with a draft is said at its fields too. The focus goes where there is
	// something to do: a button that is disabled while a request is under way loses it.
	document.addEventListener("htmx:beforeRequest", (e) => {
		if (!e.detail.elt.matches("#editor")) return; // its field "id" stands in the place of its own id
		for (const old of document.querySelectorAll(".problem")) old.remove();
		for (const f of document.querySelectorAll("[aria-invalid]")) {
			f.removeAttribute("aria-invalid");
			const named = (f.getAttribute("aria-describedby") ?? "").split(" ").filter((n) => n && !n.startsWith("problem-"));
			if (named.length) f.setAttribute("aria-describedby", named.join(" "));
			else f.removeAttribute("aria-describedby");
		}
	});
	document.addEventListener("htmx:afterSwap", (e) => {
		if (e.detail.target.id !== "plan") return;
		let first = null;
		for (const p of document.querySelectorAll("#plan [data-field]")) {
			const field = byID(p.dataset.field);
			if (!field) continue;
			const said = document.createElement("p");
			said.className = "problem";
			said.id = "problem-" + field.id;
			said.textContent = p.dataset.problem;
			if (byID(said.id)) {
				byID(said.id).textContent += "; " + p.dataset.problem;
				continue;
			}
			field.after(said);
			field.setAttribute("aria-invalid", "true");
			field.setAttribute("aria-describedby", [said.id, field.getAttribute("aria-describedby")].filter(Boolean).join(" "));
			if (!first || field.compareDocumentPosition(first) & Node.DOCUMENT_POSITION_FOLLOWING) first = field;
		}
		(first ?? byID("planned") ?? document.querySelector("#editor button"))?.focus();
	});
	document.addEventListener("htmx:sendError", (e) => e.detail.elt.querySelector("button")?.focus());

	// ----- A form that is sent says so, and is sent once.
	document.addEventListener("submit", (e) => {
		if (e.target.method !== "post" || e.target.hasAttribute("hx-post") || e.submitter?.formTarget) return;
		setTimeout(() => {
			for (const b of e.target.querySelectorAll("button[type=submit]")) b.disabled = true;
		});
	});
	addEventListener("pageshow", (e) => {
		if (e.persisted) for (const b of document.querySelectorAll("button:disabled")) b.disabled = false;
	});

	// ----- A page about a Kafka that does not answer tries again.
	const again = document.querySelector("[data-retry]");
	if (again) setTimeout(() => location.reload(), again.dataset.retry * 1000);

	draw();
	schedule();
})();
