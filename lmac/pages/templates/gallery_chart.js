// --- all scored clips, whether they have sound or not ---

const SEVERAL = data.runs.length > 1;

function runHeaders() {
  return data.runs.map((run) => {
    const links = run.files.map((file) => element("a", { href: file.url }, file.name));
    return element("details", { className: "run", open: !SEVERAL },
      element("summary", { className: "name" }, run.title || run.name,
        SEVERAL && run.title ? ` (${run.name})` : ""),
      ...run.facts.map((text) => element("p", { className: "name" }, text)),
      run.facts.length ? "" : element("p", {}, "This evaluation is not complete yet."),
      element("p", { className: "files" }, ...links));
  });
}

function sayHeard() {
  $("heard").textContent = data.runs.map((run) => (SEVERAL ? `${run.name}: ` : "") +
    `${run.heard} of ${run.scored} scored clips have sound or pictures`).join("; ") +
    ". What is drawn here is of all of them.";
}

// Which methods come first: those that are no references.
const apart = (rows) => [rows.filter((r) => !REFERENCES.has(r.method)),
  rows.filter((r) => REFERENCES.has(r.method))];

function drawChart() {
  const metric = data.metrics.find((m) => m.name === $("chart-metric").value);
  const label = $("chart-class").value;
  if (!metric) return;
  $("chart-about").textContent = metric.about + " Mean with 95 % bootstrap interval" +
    ({ up: "; higher is better.", down: "; lower is better." }[metric.better] || ".");
  const rows = data.summaries.flatMap((s) => s.rows.map((row) => ({ ...row, run: s.run })));
  const scenarios = [...new Set(rows.map((row) => row.scenario))];
  $("bars").replaceChildren(...scenarios.map((scenario) => {
    const own = rows.filter((row) => row.scenario === scenario);
    const runs = [...new Set(own.map((row) => row.run))];
    const differences = data.differences.filter((row) => row.scenario === scenario);
    return element("section", { className: "scenario" },
      element("h2", { className: "name" }, scenario),
      bars(own.filter((row) => row.label === label), metric, runs.length > 1,
        `${metric.name}, ${label || "all classes"}, ${scenario}`),
      ...(differences.length && !label ? [differenceTable(differences, metric, scenario)] : []),
      byClass(own, metric, runs, scenario));
  }));
}

function bars(rows, metric, several, caption) {
  const values = rows.map((row) => row.values[metric.name]).filter(Boolean).flat()
    .filter((v) => v !== null);
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  const at = (value) => `${high > low ? 100 * (value - low) / (high - low) : 0}%`;
  const line = (row) => {
    const [mean, from, to] = row.values[metric.name] || [null, null, null];
    const bar = element("div", { className: "bar", attributes: { "aria-hidden": "true" } });
    if (mean !== null) {
      const body = element("div", { className: "mean" });
      body.style.left = at(Math.min(0, mean));
      body.style.width = `calc(${at(Math.max(0, mean))} - ${at(Math.min(0, mean))})`;
      bar.append(body);
    }
    if (from !== null && to !== null) {
      const band = element("div", { className: "interval" });
      band.style.left = at(from);
      band.style.width = `calc(${at(to)} - ${at(from)})`;
      bar.append(band);
    }
    return element("tr", { className: REFERENCES.has(row.method) ? "reference" : "" },
      element("th", { scope: "row", className: "name" }, row.method,
        several ? element("span", { className: "soft" }, ` ${row.run}`) : ""),
      element("td", { className: "drawn" }, bar),
      element("td", {}, interval(row.values[metric.name], metric)),
      element("td", { className: "soft" }, `${row.n} clips`));
  };
  const [methods, references] = apart(inMethodOrder(rows));
  const heading = element("tr", {}, element("th", { scope: "rowgroup", colSpan: 4,
    className: "soft" }, "References: bounds and controls"));
  return element("table", { className: "bars" },
    element("caption", { className: "name" }, caption),
    element("tbody", {}, ...methods.map(line)),
    ...(references.length ? [element("tbody", {}, heading, ...references.map(line))] : []));
}

const inMethodOrder = (rows) => [...rows].sort(
  (a, b) => data.methods.indexOf(a.method) - data.methods.indexOf(b.method));

function interval(values, metric, sign = "") {
  if (!values || values[0] === null) return "undefined";
  const text = (value) => (sign && value > 0 ? sign : "") +
    value.toFixed(metric.decimals).replace("-", "−");
  const [mean, low, high] = values;
  return text(mean) + (low === null || high === null ? "" : ` [${text(low)}, ${text(high)}]`);
}

function differenceTable(rows, metric, scenario) {
  return element("table", { className: "plain" },
    element("caption", { className: "name" },
      `${metric.name}, ${scenario}: differences, clip by clip`),
    element("thead", {}, element("tr", {}, ...["method", "difference", "clips", "between"]
      .map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...inMethodOrder(rows).map((row) => element("tr", {},
      element("th", { scope: "row", className: "name" }, row.method),
      element("td", {}, interval(row.values[metric.name], metric, "+")),
      element("td", {}, row.n),
      element("td", { className: "name" }, `${row.second} minus ${row.first}`)))));
}

function byClass(rows, metric, runs, scenario) {
  const labels = [...new Set(rows.map((row) => row.label))].filter(Boolean).sort();
  const columns = apart(inMethodOrder(rows.filter((row) => row.label === ""))).flat();
  const value = (label, column) => {
    const row = rows.find((r) => r.label === label && r.method === column.method &&
      r.run === column.run);
    const mean = row && row.values[metric.name] ? row.values[metric.name][0] : null;
    return mean === null ? "–" : mean.toFixed(metric.decimals).replace("-", "−");
  };
  const count = (label) => rows.find((r) => r.label === label).n;
  return element("details", { className: "by-class" },
    element("summary", {}, "By class"),
    element("div", { className: "wide", tabIndex: 0,
      attributes: { role: "group", "aria-label": `${metric.name} by class, ${scenario}` } },
    element("table", { className: "plain" },
      element("caption", { className: "name" }, `${metric.name} by class, ${scenario}`),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "class"),
        element("th", { scope: "col" }, "clips"),
        ...columns.map((column) => element("th", { scope: "col", className: "name" },
          column.method, runs.length > 1 ? ` (${column.run})` : "")))),
      element("tbody", {}, ...labels.map((label) => element("tr", {},
        element("th", { scope: "row", className: "name" }, label),
        element("td", {}, count(label)),
        ...columns.map((column) => element("td", {}, value(label, column)))))))));
}
