// Paths: what methods had learned and forgotten by each epoch; the dose is scrubbed.
const EPOCH = "epoch";

function paths(section) {
  if (!section.measures.length) return null;
  const n = section.number;
  const measures = section.measures.map((one) => [one.key, one.title]);
  const lost = section.measures.find((one) => one.key.startsWith("lost:"));
  const across = chooser(
    "Across",
    `path-x-${n}`,
    [[EPOCH, EPOCH], ...measures],
    lost ? measures[0][0] : EPOCH,
    () => self.redraw(),
  );
  const up = chooser("Up", `path-y-${n}`, measures, lost?.key ?? measures[0][0], () =>
    self.redraw(),
  );
  const dose = make("input", { type: "range", min: 0, max: section.epochs, step: 1 });
  const said = make("output", {});
  const doseLabel = make(
    "label",
    { className: "dose" },
    make("span", {}, "After epoch ", said),
    dose,
  );
  const title = (key) =>
    key === EPOCH ? EPOCH : section.measures.find((one) => one.key === key).title;
  const arrow = (key) =>
    ({ 1: ", more is better", "-1": ", less is better" })[
      section.measures.find((one) => one.key === key)?.better
    ] ?? "";

  function at(row, key, epoch, seed) {
    if (key === EPOCH) return [epoch, null, null];
    const series = row.series[key];
    const place = series ? series.epochs.indexOf(epoch) : -1;
    if (place < 0) return [null, null, null];
    if (seed !== undefined) return [series.seeds[seed]?.[place] ?? null, null, null];
    return [series.mean[place], series.low[place], series.high[place]];
  }

  function points(seed) {
    return section.rows
      .flatMap((row) =>
        [...Array(section.epochs + 1).keys()].map((epoch) => {
          const [x, y] = [at(row, across.value, epoch, seed), at(row, up.value, epoch, seed)];
          const lines = [row.label, `after epoch ${epoch}`];
          if (across.value !== EPOCH) lines.push(`${title(across.value)}: ${written(x)}`);
          lines.push(`${title(up.value)}: ${written(y)}`, cellsOf(row));
          return {
            row,
            epoch,
            seed,
            x: x[0],
            y: y[0],
            low: y[1],
            high: y[2],
            title: lines.join("\n"),
          };
        }),
      )
      .filter((point) => point.x !== null && point.y !== null);
  }

  function draw(width) {
    const until = Number(dose.value);
    const all = front(points(), (point) => point.row.label);
    const shown = all.filter((point) => point.epoch <= until);
    const last = section.rows
      .map((row) => shown.filter((point) => point.row === row).at(-1))
      .filter(Boolean);
    const most = Math.max(...section.rows.map((row) => row.seeds.length));
    const thin =
      most > 1 && most * section.rows.length <= 40 ? [...Array(most).keys()].flatMap(points) : [];
    const bands =
      across.value === EPOCH && section.rows.length <= 4
        ? shown.filter((point) => point.low !== null)
        : [];
    const line = { x: "x", y: "y", stroke: (p) => color(p.row) };
    const shares = across.value.startsWith("learned") ? [50, 90] : [];
    return [
      clickable({
        width,
        height: Math.min(460, Math.max(300, width * 0.6)),
        marginLeft: 54,
        marginBottom: 42,
        insetTop: 8,
        insetRight: 12,
        ariaLabel: `${title(up.value)} against ${title(across.value)} after epoch ${until}, ${section.rows.length} methods of ${section.title}`,
        x: {
          label: title(across.value) + (width < 420 ? "" : arrow(across.value)),
          labelAnchor: "center",
          labelArrow: "none",
          grid: true,
          ticks: across.value === EPOCH ? Math.min(section.epochs, 10) : 6,
          tickFormat: tick,
        },
        y: {
          label: title(up.value) + (width < 420 ? "" : arrow(up.value)),
          labelArrow: "none",
          grid: true,
          nice: true,
          zero: true,
          tickFormat: tick,
          ...scaleOf(all.map((point) => point.y)),
        },
        marks: [
          Plot.ruleX(shares, { stroke: "var(--soft)", strokeDasharray: "2 3" }),
          Plot.areaY(bands, {
            x: "x",
            y1: "low",
            y2: "high",
            z: (p) => p.row.label,
            fill: (p) => color(p.row),
            fillOpacity: 0.13,
          }),
          Plot.line(
            thin.filter((p) => p.epoch <= until),
            {
              ...line,
              z: (p) => `${p.row.label}/${p.seed}`,
              strokeWidth: 0.7,
              strokeOpacity: (p) => 0.4 * faded(p.row.label),
            },
          ),
          Plot.line(all, {
            ...line,
            z: (p) => p.row.label,
            strokeWidth: 1,
            strokeOpacity: (p) => 0.25 * faded(p.row.label),
            strokeDasharray: "2 3",
          }),
          Plot.line(shown, {
            ...line,
            z: (p) => p.row.label,
            strokeWidth: 1.8,
            strokeOpacity: (p) => faded(p.row.label),
          }),
          Plot.dot(shown, {
            x: "x",
            y: "y",
            r: 2,
            fill: (p) => color(p.row),
            fillOpacity: (p) => faded(p.row.label),
          }),
          dots(last, 5.5),
          ...names(last, all),
          tips(shown, width),
        ],
      }),
    ];
  }

  function numbers() {
    const key = across.value === EPOCH ? [] : [title(across.value)];
    return [
      ["method", EPOCH, ...key, title(up.value), "low", "high"],
      ...points().map((p) => [
        p.row.label,
        p.epoch,
        ...(key.length ? [p.x] : []),
        p.y,
        p.low,
        p.high,
      ]),
    ];
  }

  const self = picture(section, {
    id: "paths",
    title: "The way there: after each epoch",
    controls: [across.label, up.label, doseLabel],
    draw,
    numbers,
    note:
      "Lines: means over seeds; thin lines: single seeds. Move the dose to see how far each method had come by an epoch. " +
      "Drift on the way is measured on 8 of its 32 texts.",
  });
  const tell = () => {
    said.textContent = `${dose.value} of ${section.epochs}`;
  };
  dose.addEventListener("input", () => {
    choose(`dose-${n}`, Number(dose.value) === section.epochs ? "" : dose.value);
    tell();
    self.redraw();
  });
  onRestore(() => {
    across.restore();
    up.restore();
    dose.value = chosen(`dose-${n}`) || section.epochs;
    tell();
    self.redraw();
  });
  return self.place;
}
