/* What charts share. */
"use strict";

/** Return the colour that a variable of the style sheet has now: plotly knows no variables. */
function css(name) {
  const probe = el("i", { style: `color:var(${name})` });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const plain = (text) => visible(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // plotly reads some HTML in texts

async function chart(node, traces, layout = {}) {
  const ink = css("--soft"), line = css("--line");
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
  const whole = {
    font: { family: "system-ui, sans-serif", size: 12, color: ink }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 48, r: 14, t: 10, b: 38 },
    showlegend: false, hovermode: "closest", hoverlabel: { namelength: -1 }, colorway: COLOURS, ...layout, xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
  };
  return (await plotly()).newPlot(node, traces, whole, { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"], toImageButtonOptions: { scale: 2 } });
}
