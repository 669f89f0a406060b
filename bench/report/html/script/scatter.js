// Learned against forgotten: any two columns of the tables, with their intervals.
function scatter(section) {
  const axes = section.axes.map((axis) => [axis.key, axis.title]);
  const n = section.number;
  const across = chooser("Across", `x-${n}`, axes, section.x, () => self.redraw());
  const up = chooser("Up", `y-${n}`, axes, section.y, () => self.redraw());
  const place = (axis) => section.axes.findIndex((one) => one.key === axis.value);

  function points() {
    const [i, j] = [place(across), place(up)];
    return section.rows
      .filter((row) => row.values[i] && row.values[j])
      .map((row) => {
        const [[x, xLow, xHigh], [y, yLow, yHigh]] = [row.values[i], row.values[j]];
        const title = [
          row.label,
          `${section.axes[i].title}: ${row.texts[i]}`,
          `${section.axes[j].title}: ${row.texts[j]}`,
          cellsOf(row),
        ];
        return { row, x, xLow, xHigh, y, yLow, yHigh, title: title.join("\n") };
      });
  }

  // The points that no other beats on both axes, from the best across on.
  function best(found) {
    const [signX, signY] = [section.axes[place(across)].better, section.axes[place(up)].better];
    if (!signX || !signY || across.value === up.value) return [];
    const kept = [];
    for (const point of [...found].sort((a, b) => signX * (b.x - a.x) || signY * (b.y - a.y))) {
      if (!kept.length || signY * (point.y - kept.at(-1).y) > 0) kept.push(point);
    }
    return kept;
  }

  function draw(width) {
    const found = front(points(), (point) => point.row.label);
    const [x, y] = [section.axes[place(across)], section.axes[place(up)]];
    const arrow =
      width < 420
        ? { 1: "", "-1": "", 0: "" }
        : { 1: ", more is better", "-1": ", less is better", 0: "" };
    const look = {
      stroke: (point) => color(point.row),
      strokeOpacity: (point) => 0.6 * faded(point.row.label),
    };
    const ends = (key) =>
      found
        .flatMap((point) => [point[key], point[`${key}Low`], point[`${key}High`]])
        .filter((v) => v !== null);
    return [
      clickable({
        width,
        height: Math.min(460, Math.max(300, width * 0.6)),
        marginLeft: 54,
        marginBottom: 42,
        insetTop: 14,
        insetRight: 14,
        insetLeft: 8,
        ariaLabel: `${y.title} against ${x.title}, ${found.length} methods of ${section.title}`,
        x: {
          label: x.title + arrow[x.better],
          labelAnchor: "center",
          labelArrow: "none",
          grid: true,
          nice: true,
          ticks: width < 500 ? 4 : 8,
          tickFormat: tick,
          ...scaleOf(ends("x")),
        },
        y: {
          label: y.title + arrow[y.better],
          labelArrow: "none",
          grid: true,
          nice: true,
          tickFormat: tick,
          ...scaleOf(ends("y")),
        },
        marks: [
          Plot.line(best(found), {
            x: "x",
            y: "y",
            curve: "step-after",
            stroke: "var(--soft)",
            strokeDasharray: "4 3",
          }),
          Plot.ruleX(
            found.filter((p) => p.yLow !== null),
            { x: "x", y1: "yLow", y2: "yHigh", ...look },
          ),
          Plot.ruleY(
            found.filter((p) => p.xLow !== null),
            { y: "y", x1: "xLow", x2: "xHigh", ...look },
          ),
          dots(found, 5.5),
          ...names(found, found),
          tips(found, width),
        ],
      }),
    ];
  }

  function numbers() {
    const [x, y] = [section.axes[place(across)].title, section.axes[place(up)].title];
    return [
      ["method", "seeds", x, `${x} low`, `${x} high`, y, `${y} low`, `${y} high`, "cells"],
      ...points().map((p) => [
        p.row.label,
        p.row.seeds.join(" "),
        p.x,
        p.xLow,
        p.xHigh,
        p.y,
        p.yLow,
        p.yHigh,
        p.row.cells.join(" "),
      ]),
    ];
  }

  const self = picture(section, {
    id: "scatter",
    title: "Learned against forgotten, or any two columns",
    controls: [across.label, up.label],
    draw,
    numbers,
    note: "Lines: 95% intervals. Dashed: methods that no other beats on both axes. Click a method to select it everywhere.",
  });
  onRestore(() => {
    across.restore();
    up.restore();
    self.redraw();
  });
  return self.place;
}
