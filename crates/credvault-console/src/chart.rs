//! Charts of counts by day, drawn by the server as SVG: stacked bars, with a legend and the same numbers in a table. Colours
//! and sizes are in the style; the drawing has no code and no style of its own.

use maud::{Markup, html};

use crate::words::{Tone, number};

const WIDTH: i64 = 720;
const HEIGHT: i64 = 160;
/// Room for the labels below the bars.
const LABELS: i64 = 18;

/// One kind of count: its name, its colour, and a value for each day.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) tone: Tone,
    pub(crate) values: Vec<i64>,
}

impl Series {
    fn sum(&self) -> i64 {
        self.values.iter().sum()
    }
}

/// A chart with its legend and its table. Without any count it says so in a sentence.
pub(crate) fn bars(title: &str, days: &[String], series: &[Series]) -> Markup {
    let total: i64 = series.iter().map(Series::sum).sum();
    html! {
        figure class="chart" {
            figcaption { (title) }
            @if total == 0 {
                p class="quiet" { "Nothing happened in these " (days.len()) " days." }
            } @else {
                (drawing(title, days, series))
                ul class="legend" {
                    @for each in series {
                        li { span class={ "swatch " (each.tone.class()) } {} (each.name) ": " (number(each.sum())) }
                    }
                }
                (numbers(days, series))
            }
        }
    }
}

fn drawing(title: &str, days: &[String], series: &[Series]) -> Markup {
    let most = (0..days.len()).map(|day| column(series, day).iter().sum::<i64>()).max().unwrap_or(0).max(1);
    let width = WIDTH / i64::try_from(days.len()).unwrap_or(WIDTH).max(1);
    let (first, last) = (days.first(), days.last());
    let said = format!("{title}: at most {} a day. The table below has the numbers.", number(most));
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT + LABELS) } role="img" aria-label=(said) {
            line class="axis" x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
            text x="0" y="12" { (number(most)) }
            @for (day, place) in (0..days.len()).zip(0..) {
                @for bar in stack(&column(series, day), most) {
                    rect class=(series[bar.index].tone.class()) x=(place * width + 1) y=(bar.top)
                        width=((width - 2).max(1)) height=(bar.height) {}
                }
            }
            @if let Some(first) = first { text x="0" y=(HEIGHT + LABELS - 4) { (first) } }
            @if let Some(last) = last { text x=(WIDTH) y=(HEIGHT + LABELS - 4) text-anchor="end" { (last) } }
        }
    }
}

/// The values of one day, one for each series.
fn column(series: &[Series], day: usize) -> Vec<i64> {
    series.iter().map(|each| each.values.get(day).copied().unwrap_or(0)).collect()
}

/// A part of a column: which series it is of, where it begins and how high it is.
#[derive(PartialEq, Eq, Debug)]
struct Bar {
    index: usize,
    top: i64,
    height: i64,
}

/// The bars of a column, the first at the bottom. A count that is not 0 is at least one unit high, so that it is seen.
fn stack(values: &[i64], most: i64) -> Vec<Bar> {
    let mut bottom = HEIGHT;
    let mut bars = Vec::new();
    for (index, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
        let height = (value.saturating_mul(HEIGHT - 16) / most).max(1);
        bottom -= height;
        bars.push(Bar { index, top: bottom, height });
    }
    bars
}

fn numbers(days: &[String], series: &[Series]) -> Markup {
    html! {
        details {
            summary { "Numbers by day" }
            div class="scroll" tabindex="0" role="region" aria-label="Numbers by day" {
                table {
                    thead { tr { th scope="col" { "Day" } @for each in series { th scope="col" { (each.name) } } } }
                    tbody {
                        @for (day, name) in days.iter().enumerate() {
                            tr {
                                th scope="row" { (name) }
                                @for value in column(series, day) { td class="number" { (number(value)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_and_none_vanishes() {
        let bars = stack(&[10, 0, 1_000], 1_010);
        assert_eq!(bars[0], Bar { index: 0, top: HEIGHT - 1, height: 1 });
        assert_eq!((bars.len(), bars[1].index, bars[1].top + bars[1].height), (2, 2, HEIGHT - 1));
        assert!(bars[1].top >= 0);
        assert!(stack(&[1, 1], 2).iter().all(|bar| bar.height == (HEIGHT - 16) / 2));
    }

    #[test]
    fn a_chart_without_counts_is_a_sentence() {
        let nothing = [Series { name: "accepted", tone: Tone::Good, values: vec![0, 0] }];
        let days = ["2026-11-20".to_owned(), "2026-11-21".to_owned()];
        let text = bars("Tests", &days, &nothing).into_string();
        assert!(text.contains("Nothing happened in these 2 days") && !text.contains("<svg"), "{text}");
        let some = [Series { name: "accepted", tone: Tone::Good, values: vec![0, 1_200] }];
        let text = bars("Tests", &days, &some).into_string();
        assert!(text.contains("<svg") && text.contains("1,200") && text.contains("2026-11-21"), "{text}");
    }
}
