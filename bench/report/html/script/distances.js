// By distance: means over buckets of facts; a range of distances is brushed to find its facts.
function byDistance(section) {
  if (!section.populations.length) return null;
  const n = section.number;
  const measure = chooser(
    "Measure",
    `measure-${n}`,
    section.byDistance.map((title, i) => [`${i}`, title]),
    "0",
    () => self.redraw(),
  );
  const population = chooser(
    "Of",
    `of-${n}`,
    section.populations.map((one, i) => [`${i}`, one.title]),
    "0",
    () => self.redraw(),
  );
  const status = make("p", { className: "note", role: "status" });
  const distances = facts ? facts.distances(section.title).filter((value) => value !== null) : [];

  function points() {
    const found = section.populations[population.value];
    const span = Math.max(...found.means) - Math.min(...found.means) || 1;
    const step = Math.min(0.008, 0.06 / section.rows.length) * span;
    return section.rows.flatMap((row, r) =>
      found.values[measure.value][r].flatMap((value, b) =>
        value
          ? [
              {
                row,
                range: found.ranges[b],
                mean: found.means[b],
                x: found.means[b] + (r - (section.rows.length - 1) / 2) * step,
                y: value[0],
                low: value[1],
                high: value[2],
                title: [
                  row.label,
                  `distance ${found.ranges[b]}`,
                  `${section.byDistance[measure.value]}: ${written(value)}`,
                  cellsOf(row),
                ].join("\n"),
              },
            ]
          : [],
      ),
    );
  }

  function draw(width) {
    const found = front(points(), (point) => point.row.label);
    const { near } = section.populations[population.value];
    const spread = near ? [...distances, ...found.map((p) => p.x)] : found.map((p) => p.x);
    const figure = clickable({
      width,
      height: Math.min(420, Math.max(280, width * 0.5)),
      marginLeft: 54,
      marginBottom: 42,
      insetTop: 8,
      insetLeft: 8,
      insetRight: 12,
      ariaLabel: `${section.byDistance[measure.value]} by distance, ${section.rows.length} methods of ${section.title}`,
      x: {
        label: near
          ? `distance of the base's answer to the target${width < 420 ? "" : ", 1 - cosine"}`
          : "distance in the sense of the chosen facts",
        labelAnchor: "center",
        labelArrow: "none",
        domain: [Math.min(...spread), Math.max(...spread)],
        ticks: 6,
      },
      y: { label: section.byDistance[measure.value], labelArrow: "none", grid: true, nice: true },
      marks: [
        Plot.line(found, {
          x: "x",
          y: "y",
          z: (p) => p.row.label,
          stroke: (p) => color(p.row),
          strokeWidth: 1,
          sort: "x",
          strokeOpacity: (p) => 0.5 * faded(p.row.label),
        }),
        Plot.ruleX(
          found.filter((p) => p.low !== null),
          {
            x: "x",
            y1: "low",
            y2: "high",
            stroke: (p) => color(p.row),
            strokeOpacity: (p) => 0.6 * faded(p.row.label),
          },
        ),
        dots(found, 4.5),
        tips(found, width),
      ],
    });
    return near && distances.length ? [figure, strip(figure.scale("x"), width)] : [figure];
  }

  // A tick for each fact; dragging over them chooses a range, as the fields above the facts do.
  function strip(scale, width) {
    const height = 34;
    const [left, right] = scale.range;
    const svg = d3
      .create("svg")
      .attr("class", "strip")
      .attr("width", width)
      .attr("height", height)
      .attr("role", "img")
      .attr(
        "aria-label",
        `The distances of ${distances.length} ${section.items}; drag to list those of a range, or use the fields From and To above the facts`,
      );
    svg
      .append("g")
      .selectAll("line")
      .data(distances)
      .join("line")
      .attr("x1", scale.apply)
      .attr("x2", scale.apply)
      .attr("y1", 8)
      .attr("y2", height - 8)
      .attr("stroke", "currentColor")
      .attr("stroke-opacity", 0.45);
    const brush = d3
      .brushX()
      .extent([
        [left, 0],
        [right, height],
      ])
      .on("end", ({ selection: range, sourceEvent }) => {
        if (!sourceEvent) return;
        const [from, to] = range ? range.map((place) => scale.invert(place).toFixed(3)) : ["", ""];
        const count = facts.limit(section.title, from, to);
        tell(range ? `Distance ${from} to ${to}: ${count}. ` : "");
      });
    const layer = svg.append("g").call(brush);
    const [from, to] = facts.range();
    if (from || to)
      layer.call(
        brush.move,
        [from || scale.domain[0], to || scale.domain[1]].map((end) =>
          Math.min(right, Math.max(left, scale.apply(Number(end)))),
        ),
      );
    return svg.node();
  }

  function tell(text) {
    status.replaceChildren(
      ...(text ? [text, make("a", { href: "#explorer" }, "Show these facts")] : []),
    );
  }

  function numbers() {
    return [
      ["method", "distance", "mean distance", section.byDistance[measure.value], "low", "high"],
      ...points().map((p) => [p.row.label, p.range, p.mean, p.y, p.low, p.high]),
    ];
  }

  const self = picture(section, {
    id: "distance",
    title: "By distance of the base's answer to the target",
    controls: [measure.label, population.label],
    draw,
    numbers,
    note:
      `Buckets hold nearly equally many ${section.items}; below five there is no mark. Lines: 95% ` +
      `intervals. Each tick below is one of the ${section.items}: drag over some to find them in ` +
      "the list at the end of the page.",
  });
  self.place.querySelector(".note").after(status);
  onRestore(() => {
    measure.restore();
    population.restore();
    self.redraw();
  });
  facts?.onRange(() => {
    if (!facts.range().some(Boolean)) tell("");
    self.redraw();
  });
  return self.place;
}

const sections = JSON.parse(document.getElementById("pictures-data")?.textContent ?? "[]");
for (const section of sections) {
  const place = document.querySelector(`.pictures[data-section="${section.number}"]`);
  const drawn = [scatter(section), paths(section), byDistance(section)].filter(Boolean);
  place.append(
    make("h3", {}, "Pictures"),
    ...(section.remark ? [make("p", { className: "note" }, section.remark)] : []),
    legend(section.rows),
    make("div", { className: "grid" }, ...drawn),
  );
}
scrollToAnchor();
