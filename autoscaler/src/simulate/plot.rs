//! PURE. A simulation as a picture: the load above, replicas wanted and ready below, over time.

use std::fmt::Write as _;

use super::Simulated;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 30.0;
const GAP: f64 = 40.0;

/// One line of the picture.
struct Curve<'a> {
    name: &'a str,
    colour: &'a str,
    values: Vec<(f64, f64)>,
}

/// The picture, as SVG. `other` is one more count of replicas, by its name, at the same times.
pub fn svg(simulated: &Simulated, other: Option<(&str, &[u32])>) -> String {
    let from_ms = simulated.steps.first().map_or(0, |step| step.at_ms);
    let steps = simulated.steps.iter();
    let at = |at_ms: u64| at_ms.saturating_sub(from_ms) as f64 / 1_000.0;
    let load = Curve {
        name: "load",
        colour: "#4a6fa5",
        values: steps
            .clone()
            .map(|step| (at(step.at_ms), step.load))
            .collect(),
    };
    let wanted = steps.clone();
    let wanted = wanted.map(|step| (at(step.at_ms), f64::from(step.decided.wanted)));
    let ready = steps.clone();
    let ready = ready.map(|step| (at(step.at_ms), f64::from(step.ready)));
    let mut replicas = vec![
        Curve {
            name: "wanted",
            colour: "#c8553d",
            values: wanted.collect(),
        },
        Curve {
            name: "ready",
            colour: "#588157",
            values: ready.collect(),
        },
    ];
    if let Some((name, counts)) = other {
        let values = steps.zip(counts);
        replicas.push(Curve {
            name,
            colour: "#8d6a9f",
            values: values
                .map(|(step, count)| (at(step.at_ms), f64::from(*count)))
                .collect(),
        });
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n",
        LEFT + WIDTH + 20.0,
        TOP + 2.0 * HEIGHT + GAP + 30.0
    );
    panel(&mut svg, TOP, &[load]);
    panel(&mut svg, TOP + HEIGHT + GAP, &replicas);
    svg += "</svg>\n";
    svg
}

/// Axes and curves of one half, all of them on one scale. Writing to a `String` can't fail.
fn panel(svg: &mut String, top: f64, curves: &[Curve<'_>]) {
    let values = || curves.iter().flat_map(|curve| &curve.values);
    let longest = values().map(|(at, _)| *at).fold(1.0, f64::max);
    let most = values().map(|(_, value)| *value).fold(1.0, f64::max);
    let x = |at: f64| LEFT + at / longest * WIDTH;
    let y = |value: f64| top + HEIGHT - value / most * HEIGHT;
    let (bottom, right) = (top + HEIGHT, LEFT + WIDTH);
    writeln!(
        svg,
        "<path d=\"M{LEFT} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#999\"/>\n\
         <text x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{most:.1}</text>\n\
         <text x=\"{0}\" y=\"{bottom}\" text-anchor=\"end\">0</text>\n\
         <text x=\"{right}\" y=\"{2}\" text-anchor=\"end\">{longest:.0} s</text>",
        LEFT - 6.0,
        top + 10.0,
        bottom + 16.0
    )
    .ok();
    for (number, curve) in curves.iter().enumerate() {
        let mut path = String::new();
        for (at, value) in &curve.values {
            if path.is_empty() {
                write!(path, "M{:.1} {:.1}", x(*at), y(*value)).ok();
            } else {
                write!(path, "H{:.1}V{:.1}", x(*at), y(*value)).ok();
            }
        }
        writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{0}\" stroke-width=\"1.5\"/>\n\
             <text x=\"{1}\" y=\"{2}\" fill=\"{0}\">{3}</text>",
            curve.colour,
            LEFT + 90.0 * number as f64,
            top - 8.0,
            curve.name
        )
        .ok();
    }
}
