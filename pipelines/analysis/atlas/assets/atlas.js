"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const columns = new Map(data.columns.map((column) => [column.name, column]));
  const MOST_RESULTS = 30;
  const STABILITY_LIMIT = 0.2;
  const state = { column: data.columns[0], code: null, query: "" };

  // All texts become text nodes: nothing of the catalog is ever parsed as HTML.
  const el = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "click") element.addEventListener("click", value);
      else if (value !== null) element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  };
  const byId = (id) => document.getElementById(id);
  const fill = (id, ...children) => byId(id).replaceChildren(...children.filter((child) => child !== null));
  const number = (value) => value.toLocaleString("en");
  const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
  const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
  const tokenOf = (column, code) => `<|${column.name}_${code === null ? "none" : code}|>`;
  const wordsOf = (column, code) => column.words[code].map((word) => data.words[word]);
  const namesOf = (column, code) => column.nearest[code].map((name) => data.names[name]);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // ---- charts -----------------------------------------------------------------------------------------------------

  const charts = new Map();
  const visible = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) draw(target);
  }, { rootMargin: "200px" });

  /** Draw a chart when it comes into view, and again when its options, its size or the colors change. */
  const chart = (element, options) => {
    charts.set(element, options);
    if (echarts.getInstanceByDom(element)) draw(element);
    else visible.observe(element);
  };
  const draw = (element) => {
    visible.unobserve(element);
    const drawn = echarts.getInstanceByDom(element) ?? echarts.init(element);
    drawn.setOption(charts.get(element)(), { replaceMerge: ["series"] });
    return drawn;
  };
  const redraw = () => { for (const element of charts.keys()) if (echarts.getInstanceByDom(element)) draw(element); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", () => { for (const element of charts.keys()) echarts.getInstanceByDom(element)?.resize(); });

  const font = "system-ui, sans-serif";
  const tooltip = () => ({
    backgroundColor: color("card"), borderColor: color("line"), textStyle: { color: color("ink"), fontSize: 13, fontFamily: font },
    confine: true,
  });
  const axis = (more) => ({
    axisLine: { lineStyle: { color: color("line") } }, axisTick: { show: false }, splitLine: { show: false },
    axisLabel: { color: color("soft"), fontSize: 11, fontFamily: font, hideOverlap: true }, ...more,
  });
  const grid = { left: 8, right: 12, top: 12, bottom: 6, containLabel: true };

  const small = (title, note, options) => {
    const area = el("div", { class: "chart", role: "img", "aria-label": `${title}. ${note}` });
    chart(area, options);
    return el("div", { class: "card" }, el("h3", {}, title), el("p", {}, note), area);
  };

  // ---- map --------------------------------------------------------------------------------------------------------

  const ranks = new Map();
  /** Rank of each code's spread among all codes, 0 to 1; null without tracks. */
  const spreadRanks = (column) => {
    if (!ranks.has(column)) {
      const known = column.spread.filter((value) => value !== null).sort((a, b) => a - b);
      const rank = (value) => known.length < 2 ? 0 : known.findIndex((other) => other >= value) / (known.length - 1);
      ranks.set(column, column.spread.map((value) => (value === null ? null : rank(value))));
    }
    return ranks.get(column);
  };
  const mix = (from, to, share) => {
    const channels = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
    const [a, b] = [channels(from), channels(to)];
    return `rgb(${a.map((value, n) => Math.round(value + (b[n] - value) * share)).join(",")})`;
  };
  const range = (values) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = 0.07 * (high - low || 1);
    return { min: low - margin, max: high + margin };
  };

  const mapOptions = () => {
    const { column, code } = state;
    const [low, high, line, note] = ["low", "high", "card", "note"].map(color);
    const most = Math.max(...column.tracks, 1);
    const spread = spreadRanks(column);
    const found = state.query ? new Set(matches(column, state.query)) : null;
    const largest = Math.min(38, Math.max(20, 700 / Math.sqrt(column.tracks.length)));
    const size = (tracks) => 5 + (largest - 5) * Math.sqrt(tracks / most);
    const point = (number) => ({
      value: [column.x[number], column.y[number], number], name: wordsOf(column, number)[0] ?? "",
      symbolSize: size(column.tracks[number]),
      itemStyle: {
        color: spread[number] === null ? note : mix(low, high, spread[number]), borderColor: line, borderWidth: 1,
        opacity: found && !found.has(number) ? 0.12 : 0.88,
      },
      label: { show: !found || found.has(number) },
    });
    // Large codes first: they are drawn below small ones, and keep their label where two would overlap.
    const order = [...column.tracks.keys()].sort((a, b) => column.tracks[b] - column.tracks[a]);
    const series = {
      type: "scatter", id: "codes", data: order.map(point), cursor: "pointer",
      labelLayout: ({ rect, labelRect }) => ({
        hideOverlap: true, dx: Math.max(4 - labelRect.x, Math.min(0, byId("map").clientWidth - 4 - labelRect.x - labelRect.width)),
      }),
      label: {
        formatter: "{b}", position: "top", distance: 2, color: color("ink"), fontSize: 12, fontFamily: font,
        textBorderColor: color("card"), textBorderWidth: 3, overflow: "truncate", width: 120, padding: [3, 8],
      },
      emphasis: { scale: 1.15 },
    };
    const chosen = {
      type: "scatter", id: "chosen", silent: true, z: 5,
      data: code === null ? [] : [{ value: [column.x[code], column.y[code], code], symbolSize: size(column.tracks[code]) + 9 }],
      itemStyle: { color: "transparent", borderColor: color("bad"), borderWidth: 3 },
    };
    return {
      animation: false, grid: { left: 0, right: 0, top: 0, bottom: 0 },
      xAxis: { ...range(column.x), show: false }, yAxis: { ...range(column.y), show: false },
      dataZoom: [0, 1].map((which) => ({
        type: "inside", id: `zoom${which}`, [which ? "yAxisIndex" : "xAxisIndex"]: 0, zoomOnMouseWheel: "ctrl", filterMode: "none",
      })),
      tooltip: {
        ...tooltip(), formatter: ({ value }) => {
          const number = value[2];
          return el("div", {}, el("b", {}, tokenOf(column, number)), ` ${plural(column.tracks[number], "track")}`, el("br"),
            wordsOf(column, number).slice(0, 4).join(", "));
        },
      },
      series: [series, chosen],
    };
  };

  const showMap = () => {
    const { column } = state;
    chart(byId("map"), mapOptions);
    fill("map-caption", `Each circle is a code; its area shows the tracks. Color shows spread: `, el("span", { class: "scale" }),
      ` from tracks that are alike to tracks that differ. The plane shows ${percent(column.shown, 0)} of the differences between codes: ` +
      `codes that are apart here are different, codes that overlap need not be alike. Drag to move, pinch or hold Ctrl and scroll to zoom.`);
  };

  // ---- search -----------------------------------------------------------------------------------------------------

  const plain = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
  const haystacks = new Map();
  const haystack = (column) => {
    if (!haystacks.has(column)) {
      haystacks.set(column, column.words.map((_, code) =>
        plain([tokenOf(column, code), ...wordsOf(column, code), ...namesOf(column, code)].join("\n"))));
    }
    return haystacks.get(column);
  };
  /** Codes of a column that a query matches: by number, or by each of its words in a token, word or title. */
  const matches = (column, query) => {
    if (/^\d+$/.test(query)) return Number(query) < column.tracks.length ? [Number(query)] : [];
    const parts = plain(query).split(/\s+/).filter(Boolean);
    const found = [];
    haystack(column).forEach((text, code) => { if (parts.every((part) => text.includes(part))) found.push(code); });
    return found.sort((a, b) => column.tracks[b] - column.tracks[a]);
  };

  const row = (column, code, text) => el("button", { class: "row", type: "button", click: () => choose(column, code) },
    el("b", {}, String(code)), el("span", {}, text || "no words"), el("small", {}, plural(column.tracks[code], "track")));

  const showResults = () => {
    if (!state.query) { fill("results"); return; }
    const others = data.columns.filter((column) => column !== state.column);
    const lists = [state.column, ...others].map((column) => ({ column, found: matches(column, state.query) }));
    const total = lists.reduce((sum, { found }) => sum + found.length, 0);
    let left = MOST_RESULTS;
    const groups = lists.filter(({ found }) => found.length).flatMap(({ column, found }) => {
      const shown = found.slice(0, left);
      left -= shown.length;
      return shown.length ? [el("h3", {}, column.name),
        ...shown.map((code) => row(column, code, wordsOf(column, code).slice(0, 4).join(", ")))] : [];
    });
    const heading = total ? `${plural(total, "code")} for “${state.query}”${total > MOST_RESULTS ? `, the first ${MOST_RESULTS}` : ""}`
      : `Nothing for “${state.query}”. The search knows words of codes, and titles and artists of the tracks nearest to them.`;
    fill("results", el("p", { class: "muted count", role: "status" }, heading), ...groups);
  };

  // ---- panel ------------------------------------------------------------------------------------------------------

  const list = (heading, items) => items.length ? [el("h3", {}, heading), ...items] : [];

  const growth = (column, code) => {
    if (!column.baseline) return "–";
    const [before, now] = [column.baseline[code], column.tracks[code]];
    return before ? `${now >= before ? "+" : "−"}${percent(Math.abs(now - before) / before, 0)}` : now ? "new" : "0";
  };

  const showPanel = () => {
    const { column, code } = state;
    if (code === null) {
      const largest = [...column.tracks.keys()].sort((a, b) => column.tracks[b] - column.tracks[a]).slice(0, 8);
      fill("panel", el("p", { class: "token" }, column.name),
        el("p", { class: "muted count" }, "Choose a code on the map, or search."),
        ...list("Codes with the most tracks", largest.map((other) => row(column, other, wordsOf(column, other).slice(0, 4).join(", ")))));
      return;
    }
    const all = column.tracks.reduce((sum, value) => sum + value, 0) || 1;
    const rank = spreadRanks(column)[code];
    const facts = [
      ["Tracks", number(column.tracks[code]), `${percent(column.tracks[code] / all, 2)} of ${column.name}`],
      ["Spread", rank === null ? "–" : percent(rank, 0), "of codes are tighter"],
      ["Growth", growth(column, code), column.baseline ? `from ${number(column.baseline[code])}` : "first release"],
    ];
    const words = wordsOf(column, code);
    fill("panel",
      el("p", { class: "token" }, el("a", { href: `#${column.name}_${code}`, title: "Link to this code" }, tokenOf(column, code))),
      el("dl", { class: "facts" }, ...facts.map(([name, value, note]) => el("div", {}, el("dt", {}, name), el("dd", {}, value), el("dd", { class: "count" }, note)))),
      el("h3", {}, "Words that distinguish its tracks"),
      words.length ? el("ul", { class: "words" }, ...words.map((word) => el("li", {}, word))) : el("p", { class: "muted" }, "none"),
      ...list("Nearest tracks", namesOf(column, code).length
        ? [el("ol", { class: "plain" }, ...namesOf(column, code).map((name) => el("li", {}, name)))] : []),
      ...list("Neighbor codes", column.neighbours[code].map((other) => row(column, other, wordsOf(column, other).slice(0, 4).join(", ")))),
    );
  };

  const showTabs = () => fill("tabs", ...data.columns.map((column) => el("button", {
    type: "button", "aria-pressed": String(column === state.column), click: () => { show(column, null); history.replaceState(null, "", "#codes"); },
  }, column.name)));

  const show = (column, code) => {
    const other = column !== state.column;
    Object.assign(state, { column, code });
    if (other) echarts.getInstanceByDom(byId("map"))?.dispatchAction({ type: "dataZoom", batch: [0, 1].map((n) => ({ dataZoomIndex: n, start: 0, end: 100 })) });
    showTabs();
    showMap();
    showPanel();
    showResults();
  };

  const choose = (column, code) => {
    history.replaceState(null, "", `#${column.name}_${code}`);
    show(column, code);
    byId("codes").scrollIntoView({ block: "start" });
  };

  /** Show the code that the fragment of the address names, such as `#tags_286`. */
  const follow = () => {
    const [, name, code] = /^#(.+)_(\d+)$/.exec(decodeURIComponent(location.hash)) ?? [];
    const column = columns.get(name);
    if (!column || Number(code) >= column.tracks.length) return false;
    show(column, Number(code));
    byId("codes").scrollIntoView({ block: "start" });
    return true;
  };

  // ---- other sections ---------------------------------------------------------------------------------------------

  const showFindings = () => fill("findings", ...data.findings.map(({ state: kind, text, limit }) => el("li", { class: kind }, text,
    limit ? el("span", { class: "limit" }, el("b", {}, kind === "good" ? "within" : "beyond"), ` the limit: ${limit}`) : null)));

  const tokenLink = (text) => {
    const [, name, code] = /^<\|(.+)_(\w+)\|>$/.exec(text);
    return columns.has(name) && code !== "none" ? el("a", { href: `#${name}_${code}` }, `${name} ${code}`) : el("span", {}, `${name} ${code}`);
  };
  const showCollisions = () => fill("collision-list", ...(data.collisions.length ? data.collisions.map(({ tracks, tokens, songs }) =>
    el("div", { class: "card" }, el("div", { class: "big" }, plural(tracks, "track")), el("div", { class: "tokens" }, ...tokens.map(tokenLink)),
      el("ul", { class: "plain" }, ...songs.map((song) => el("li", {}, song)))))
    : [el("p", { class: "muted" }, "No two songs have the same tokens.")]));

  const line = (values, labels, format, limit = null) => () => ({
    animation: false, grid, tooltip: { ...tooltip(), trigger: "axis", valueFormatter: (value) => value === null ? "–" : format(value), renderMode: "richText" },
    xAxis: axis({ type: "category", data: labels, boundaryGap: false }),
    yAxis: axis({ type: "value", min: 0, axisLabel: { color: color("soft"), fontSize: 11, formatter: format }, splitNumber: 2,
      max: limit === null ? null : ({ max }) => Math.max(max, 1.25 * limit) }),
    series: [{
      type: "line", data: values, color: color("accent"), symbolSize: 6, connectNulls: false, lineStyle: { width: 2 },
      areaStyle: { opacity: 0.12 },
      markLine: limit === null ? { data: [] } : {
        silent: true, symbol: "none", data: [{ yAxis: limit }], lineStyle: { color: color("bad"), type: "dashed" }, label: { show: false },
      },
    }],
  });

  const showHistory = () => {
    const { releases, unreadable } = data.history;
    const missing = unreadable ? ` The figures of ${plural(unreadable, "older release")} cannot be read.` : "";
    if (releases.length < 2) {
      fill("releases-caption", `This is the first release of its vocabulary: the figures of later ones appear here.${missing}`);
      return;
    }
    fill("releases-caption", `The last ${releases.length} releases, oldest first. Drift is the population stability index since the first release ` +
      `of the codebooks, with its limit; churn is the share of the tracks whose token changed since the release before.${missing}`);
    const labels = releases.map(({ release_id: id }) => `${id.slice(0, 4)}-${id.slice(4, 6)}-${id.slice(6, 8)}`);
    const names = data.columns.map(({ name }) => name);
    const series = (kind, name) => releases.map((release) => release[kind][name] ?? null);
    const share = (value) => `${Number((100 * value).toPrecision(3))} %`;
    const card = (title, values, format, limit) => {
      const known = values.filter((value) => value !== null);
      return known.length ? [small(title, `now ${values.at(-1) === null ? "–" : format(values.at(-1))}`, line(values, labels, format, limit))] : [];
    };
    fill("history",
      ...card("tracks", releases.map(({ tracks }) => tracks), number),
      ...card("tracks that share their tokens", releases.map(({ conflict_rate: rate }) => rate ?? null), share),
      ...names.flatMap((name) => card(`${name}: coverage`, series("coverage", name), share)),
      ...names.flatMap((name) => card(`${name}: drift`, series("drift", name), (value) => String(Number(value.toPrecision(2))), STABILITY_LIMIT)),
      ...names.flatMap((name) => card(`${name}: churn`, series("churn", name), share)));
  };

  const bars = (counts, end, unit) => () => ({
    animation: false, grid,
    tooltip: { ...tooltip(), trigger: "axis", renderMode: "richText", formatter: ([{ dataIndex, value }]) =>
      `${unit} ${(end * dataIndex / counts.length).toPrecision(3)} to ${(end * (dataIndex + 1) / counts.length).toPrecision(3)}\n${plural(value, "track")}` },
    xAxis: axis({ type: "category", data: counts.map((_, n) => Number((end * n / counts.length).toPrecision(2))) }),
    yAxis: axis({ type: "value", show: false }),
    series: [{ type: "bar", data: counts, color: color("accent"), barCategoryGap: "8%", itemStyle: { borderRadius: [2, 2, 0, 0] } }],
  });
  const lorenz = (tracks) => () => {
    const sorted = [...tracks].sort((a, b) => a - b);
    const total = sorted.reduce((sum, value) => sum + value, 0) || 1;
    let sum = 0;
    const points = [[0, 0], ...sorted.map((value, n) => [(n + 1) / sorted.length, (sum += value) / total])];
    const share = (value) => `${Math.round(100 * value)} %`;
    return {
      animation: false, grid, tooltip: { ...tooltip(), trigger: "axis", renderMode: "richText",
        formatter: ([{ value }]) => `the smallest ${share(value[0])} of the codes\nhave ${percent(value[1])} of the tracks` },
      xAxis: axis({ type: "value", min: 0, max: 1, splitNumber: 2, axisLabel: { color: color("soft"), fontSize: 11, formatter: share } }),
      yAxis: axis({ type: "value", min: 0, max: 1, splitNumber: 2, axisLabel: { color: color("soft"), fontSize: 11, formatter: share } }),
      series: [
        { type: "line", data: points, color: color("accent"), showSymbol: false, lineStyle: { width: 2 }, areaStyle: { opacity: 0.12 } },
        { type: "line", data: [[0, 0], [1, 1]], color: color("note"), showSymbol: false, silent: true, lineStyle: { width: 1, type: "dashed" }, tooltip: { show: false } },
      ],
    };
  };
  const showShapes = () => fill("shape-list", ...data.columns.flatMap((column) => [
    ...(column.margins ? [small(`${column.name}: margins`, "0: between two codes, 1: on the centroid", bars(column.margins, 1, "relative margin"))] : []),
    small(`${column.name}: distances`, "squared distance to the centroid", bars(column.distances, column.furthest || 1, "distance")),
    small(`${column.name}: sizes of codes`, `Gini ${column.gini === null ? "–" : column.gini.toFixed(2)}; dashed: all alike`, lorenz(column.tracks)),
  ]));

  const flow = (column, { old, new: now, tracks }) => el("button", {
    class: "row", type: "button", click: () => { if (now !== null) choose(column, now); },
  }, el("b", {}, `${old ?? "none"} → ${now ?? "none"}`), el("span", {}, now === null ? "" : wordsOf(column, now).slice(0, 3).join(", ")),
  el("small", {}, plural(tracks, "track")));
  const move = (column, { code, nearest }) => el("button", { class: "row", type: "button", click: () => choose(column, code) },
    el("b", {}, String(code)), el("span", {}, wordsOf(column, code).slice(0, 3).join(", ")),
    el("small", {}, nearest === code ? "same meaning" : `now near old ${nearest}`));
  const showChanges = () => {
    const changed = data.columns.filter(({ change }) => change);
    byId("changes").hidden = byId("to-changes").hidden = !changed.length;
    fill("changes-caption", `Codebooks that are different from those of release ${data.previous}: tracks whose code changed, by old and new code, ` +
      `and the centroids that moved furthest.`);
    fill("change-list", ...changed.map((column) => el("div", { class: "card" }, el("h3", {}, column.name),
      el("div", { class: "big" }, plural(column.change.tracks, "token"), " changed"),
      ...list("From old to new code", column.change.flows.map((pair) => flow(column, pair))),
      ...(column.change.moves === null ? [el("p", { class: "muted count" }, "Old and new centroids have no common space.")]
        : list("Centroids that moved furthest", column.change.moves.filter(({ code }) => code < column.tracks.length).map((moved) => move(column, moved)))))));
  };

  // ---- start ------------------------------------------------------------------------------------------------------

  fill("identity", `${plural(data.tracks, "track")} · release ${data.release} · bundle ${data.bundle}`);
  fill("footer", "Made by tracktokens. The page is complete: it loads nothing, and opens from any disk. Charts: Apache ECharts, Apache License 2.0.");
  showFindings();
  showCollisions();
  showHistory();
  showShapes();
  showChanges();
  if (!state.column) { byId("codes").hidden = byId("shapes").hidden = true; return; }
  byId("search").addEventListener("input", ({ target }) => { state.query = target.value.trim(); showMap(); showResults(); });
  addEventListener("hashchange", follow);
  if (!follow()) show(state.column, null);
  draw(byId("map")).on("click", ({ value }) => choose(state.column, value[2]));
})();
