//! Figures as a notebook gets them: sizes, files, and every kind of bad input.

use dldna::plot::{BarChart, Chart, ColorMap, Figure, HeatMap, ImageGrid, PlotError, Timeline};
use proptest::prelude::*;

fn decode(figure: &Figure) -> Vec<u8> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(figure.png()));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(
        info.color_type,
        png::ColorType::Rgb,
        "opaque colours, no transparency"
    );
    assert_eq!(
        (info.width as usize, info.height as usize),
        (figure.width(), figure.height())
    );
    pixels
}

/// Number of pixels of exactly this colour.
fn count(figure: &Figure, color: [u8; 3]) -> usize {
    figure
        .pixels()
        .chunks_exact(3)
        .filter(|p| **p == color)
        .count()
}

const BLUE: [u8; 3] = [0, 114, 178];

fn one_of_each() -> Vec<Figure> {
    let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
    vec![
        Chart::new("Chart")
            .line("a", &[1, 2, 3], &[1.0, 4.0, 9.0])
            .points("b", &[1, 2], &[3.0, 5.0])
            .draw()
            .unwrap(),
        BarChart::new("Bars", &["x", "y"])
            .bars("a", &[1, 2])
            .draw()
            .unwrap(),
        BarChart::new(
            "Lying bars",
            &["a label of many words that needs much room"; 4],
        )
        .bars("a", &[1, 2, 3, 4])
        .draw()
        .unwrap(),
        HeatMap::new("Map", 3, 4, &values).draw().unwrap(),
        ImageGrid::new("Grid", 2)
            .values("a", 4, &values, ColorMap::Gray)
            .draw()
            .unwrap(),
        Timeline::new("Time")
            .event(1998, "LeNet-5", "reads cheques")
            .draw()
            .unwrap(),
    ]
}

#[test]
fn every_figure_is_an_opaque_png_of_its_own_pixels_and_the_same_each_time() {
    for (a, b) in one_of_each().iter().zip(&one_of_each()) {
        assert_eq!(decode(a), a.pixels());
        assert_eq!(a.png(), b.png());
        assert_eq!(a.pixels()[..3], [255; 3], "white paper");
        assert!(
            a.width() <= 1000 && a.png().len() < 100_000,
            "{} bytes",
            a.png().len()
        );
        assert!(a.pixels().iter().any(|&v| v < 80), "something is drawn");
    }
}

#[test]
fn bars_are_as_long_as_their_values() {
    let draw = |values: &[f64]| {
        BarChart::new("", &["a", "b"])
            .bars("s", values)
            .draw()
            .unwrap()
    };
    // The tallest bar fills the same height; the other adds its share to the coloured area.
    let whole = count(&draw(&[10.0, 10.0]), BLUE) as f64;
    let half = count(&draw(&[10.0, 5.0]), BLUE) as f64;
    assert!((half / whole - 0.75).abs() < 0.01, "{half} of {whole}");
    // On a logarithmic scale from 1, equal ratios are equal lengths.
    let draw = |middle: f64| {
        let chart = BarChart::new("", &["a", "b", "c"])
            .bars("s", &[900.0, middle, 1.5])
            .log();
        count(&chart.draw().unwrap(), BLUE) as f64
    };
    let none = draw(f64::NAN);
    let share = (draw(9.0) - none) / (draw(900.0) - none);
    assert!(
        (share - 9.0f64.log10() / 900.0f64.log10()).abs() < 0.01,
        "{share}"
    );
}

#[test]
fn a_line_goes_where_the_values_are() {
    // The y range is 0 to 1 plus a margin; a flat line at 1 lies higher than one at 0.5.
    let height_of_line = |y: f64| {
        let figure = Chart::new("")
            .points("", &[0.0, 1.0], &[0.0, 1.0])
            .line("", &[0.0, 1.0], &[y, y])
            .draw()
            .unwrap();
        let orange = [213, 94, 0];
        let rows = figure.pixels().chunks_exact(3 * figure.width()).enumerate();
        let most =
            rows.max_by_key(|(_, row)| row.chunks_exact(3).filter(|p| **p == orange).count());
        most.unwrap().0 as f64
    };
    let (top, middle, bottom) = (
        height_of_line(1.0),
        height_of_line(0.5),
        height_of_line(0.0),
    );
    assert!(top < middle && middle < bottom);
    assert!(
        ((top + bottom) / 2.0 - middle).abs() <= 1.0,
        "{top} {middle} {bottom}"
    );
}

#[test]
fn heat_map_cells_have_the_colours_of_the_map() {
    let figure = HeatMap::new("", 1, 2, &[0.0, 1.0])
        .show_values()
        .draw()
        .unwrap();
    for end in [0.0, 1.0] {
        assert!(
            count(&figure, ColorMap::Viridis.color(end)) > 1000,
            "no cell of the colour of {end}"
        );
    }
}

#[test]
fn strange_values_are_drawn_as_far_as_they_can_be() {
    let nan = f64::NAN;
    Chart::new("")
        .line("", &[1.0, 2.0, 3.0, 4.0], &[1.0, nan, f64::INFINITY, 2.0])
        .draw()
        .unwrap();
    Chart::new("")
        .line("", &[0, 1, 10], &[-1.0, 0.0, 5.0])
        .log_x()
        .log_y()
        .draw()
        .unwrap();
    Chart::new("")
        .line("", &[1e-300, 1e300], &[-1e300, 1e300])
        .draw()
        .unwrap();
    Chart::new("")
        .line("", &[1e16, 1e16 + 2.0], &[1.0, 1.0 + 1e-15])
        .draw()
        .unwrap();
    BarChart::new("", &["a", "b", "c"])
        .bars("", &[nan, 0.0, -3.0])
        .draw()
        .unwrap();
    BarChart::new("", &["a", "b", "c"])
        .bars("", &[nan, 0.0, 3.0])
        .log()
        .draw()
        .unwrap();
    BarChart::new("", &["a"]).bars("", &[0.0]).draw().unwrap();
    HeatMap::new("", 2, 2, &[1.0, f32::NAN, f32::INFINITY, 2.0])
        .show_values()
        .draw()
        .unwrap();
    HeatMap::new("", 1, 1, &[5.0]).draw().unwrap();
    HeatMap::new("", 1, 1000, &[5.0; 1000]).draw().unwrap();
    ImageGrid::new("", 0)
        .values("", 1, &[f32::NAN; 300], ColorMap::Diverging)
        .draw()
        .unwrap();
    Timeline::new("")
        .event(i32::MIN, "", "")
        .event(i32::MAX, "", &"word ".repeat(100))
        .draw()
        .unwrap();
}

#[test]
fn what_cannot_be_drawn_is_a_typed_error_that_says_why() {
    let none: [f64; 0] = [];
    let empty = [
        Chart::new("").draw(),
        Chart::new("").line("", &none, &none).draw(),
        Chart::new("").line("", &[f64::NAN], &[1.0]).draw(),
        Chart::new("").line("", &[1.0], &[-1.0]).log_y().draw(),
        BarChart::new("", &[]).draw(),
        BarChart::new("", &["a"]).bars("", &[f64::NAN]).draw(),
        BarChart::new("", &["a"]).bars("", &[-1.0]).log().draw(),
        HeatMap::new("", 0, 0, &[]).draw(),
        HeatMap::new("", 1, 1, &[f32::NAN]).draw(),
        ImageGrid::new("", 3).draw(),
        ImageGrid::new("", 3)
            .values("", 0, &[], ColorMap::Gray)
            .draw(),
        Timeline::new("").draw(),
        Figure::row(&[]),
    ];
    for (i, result) in empty.into_iter().enumerate() {
        assert!(
            matches!(result, Err(PlotError::Empty { .. })),
            "case {i}: {result:?}"
        );
    }
    let many = ["a"; 2000];
    let large = [
        BarChart::new("", &many).bars("", &[1.0; 2000]).draw(),
        (0..1000)
            .fold(ImageGrid::new("", 1), |grid, _| {
                grid.values("", 1, &[1.0], ColorMap::Gray)
            })
            .draw(),
        (0..1000)
            .fold(Timeline::new(""), |line, year| line.event(year, "", ""))
            .draw(),
        HeatMap::new(&"long ".repeat(500), 1, 1, &[1.0]).draw(),
    ];
    for (i, result) in large.into_iter().enumerate() {
        assert!(
            matches!(result, Err(PlotError::TooLarge { .. })),
            "case {i}: {result:?}"
        );
    }
    let message = |result: Result<Figure, PlotError>| result.unwrap_err().to_string();
    assert_eq!(
        message(Chart::new("").line("loss", &[1, 2, 3], &[1.0, 2.0]).draw()),
        "series `loss` has 3 x values and 2 y values; it needs as many of one as of the other"
    );
    assert_eq!(
        message(HeatMap::new("Kernel", 3, 3, &[1.0; 8]).draw()),
        "`Kernel` has 8 values, expected 9"
    );
    assert_eq!(
        message(BarChart::new("", &["a"]).bars("time", &[1, 2]).draw()),
        "`time` has 2 values, expected 1"
    );
    assert_eq!(
        message(
            HeatMap::new("", 1, 1, &[1.0])
                .row_labels(&["a", "b"])
                .draw()
        ),
        "`row labels` has 2 values, expected 1"
    );
    assert_eq!(
        message(
            ImageGrid::new("", 1)
                .values("a", 2, &[1.0; 3], ColorMap::Gray)
                .draw()
        ),
        "`a` has 3 values, expected 2"
    );
}

#[test]
fn a_failed_save_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let figure = Timeline::new("").event(1, "a", "").draw().unwrap();
    // A folder of that name is in the way.
    let path = folder.path().join("taken.png");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("inside"), "kept").unwrap();
    let error = figure.save(&path).unwrap_err();
    assert!(error.to_string().contains("taken.png"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let good = folder.path().join("good.png");
    figure.save(&good).unwrap();
    assert_eq!(std::fs::read(good).unwrap(), figure.png());
}

#[test]
fn debug_shows_sizes_and_no_values() {
    let values = [0.5; 12];
    let map = HeatMap::new("Map", 3, 4, &values);
    assert_eq!(format!("{map:?}"), r#"HeatMap { "Map", 3 x 4 }"#);
    let figure = map.draw().unwrap();
    let size = format!("Figure {{ {} x {} }}", figure.width(), figure.height());
    assert_eq!(format!("{figure:?}"), size);
    let grid = ImageGrid::new("", 1).values("a", 40, &[1.0; 4000], ColorMap::Gray);
    let chart = Chart::new("").line("a", &[1.0; 4000], &[2.0; 4000]);
    for text in [format!("{grid:?}"), format!("{chart:?}")] {
        assert!(text.len() < 200, "{text}");
    }
}

#[test]
fn letters_without_a_glyph_do_not_stop_a_figure() {
    let one = [1.0];
    for title in [
        "训练",
        "학습",
        "обучение",
        "การฝึก",
        "10 €",
        "e\u{301}",
        "\u{1f600}",
    ] {
        let figures = [
            Chart::new(title).line("", &one, &one).draw(),
            Chart::new("").line(title, &one, &one).draw(),
            Chart::new("").x_label(title).line("", &one, &one).draw(),
            Chart::new("").y_label(title).line("", &one, &one).draw(),
            BarChart::new(title, &["a"]).bars("", &one).draw(),
            BarChart::new("", &[title]).bars("", &one).draw(),
            BarChart::new("", &["a"]).bars(title, &one).draw(),
            BarChart::new("", &["a"])
                .bars("", &one)
                .value_label(title)
                .draw(),
            HeatMap::new(title, 1, 1, &[1.0]).draw(),
            HeatMap::new("", 1, 1, &[1.0]).row_labels(&[title]).draw(),
            HeatMap::new("", 1, 1, &[1.0])
                .column_labels(&[title])
                .draw(),
            HeatMap::new("", 1, 1, &[1.0]).x_label(title).draw(),
            HeatMap::new("", 1, 1, &[1.0]).y_label(title).draw(),
            ImageGrid::new(title, 1)
                .values("", 1, &[1.0], ColorMap::Gray)
                .draw(),
            ImageGrid::new("", 1)
                .values(title, 1, &[1.0], ColorMap::Gray)
                .draw(),
            Timeline::new(title).event(1, "", "").draw(),
            Timeline::new("").event(1, title, "").draw(),
            Timeline::new("").event(1, "", title).draw(),
        ];
        for (place, figure) in figures.into_iter().enumerate() {
            assert!(figure.is_ok(), "{title} {place}: {figure:?}");
        }
    }
}

#[test]
fn extreme_values_are_drawn_or_refused() {
    let tiny = 5e-324;
    Chart::new("")
        .line("", &[0.0, tiny], &[0.0, tiny])
        .draw()
        .unwrap();
    Chart::new("")
        .points("", &[0.0, tiny], &[-tiny, tiny])
        .draw()
        .unwrap();
    Chart::new("")
        .line("", &[tiny, 1.0], &[tiny, 1e300])
        .log_x()
        .log_y()
        .draw()
        .unwrap();
    BarChart::new("", &["a", "b"])
        .bars("", &[1e-320, -1e-320])
        .draw()
        .unwrap();
    BarChart::new("", &["a", "b"])
        .bars("", &[1e300, -1e300])
        .draw()
        .unwrap();
    let beyond = BarChart::new("", &["a", "b"])
        .bars("", &[1.7e308, -1.7e308])
        .draw();
    assert!(matches!(beyond, Err(PlotError::Empty { .. })), "{beyond:?}");
    for value in [f32::MAX, f32::MIN, -1e17, 1e-45, 0.0] {
        HeatMap::new("", 1, 2, &[value; 2]).draw().unwrap();
        HeatMap::new("", 1, 2, &[value, -value]).draw().unwrap();
    }
    // A map of one value has no marks outside of its scale.
    let size = |value: f32| HeatMap::new("", 1, 1, &[value]).draw().unwrap().height();
    assert_eq!(size(-1e17), size(1.0));
    // The ends of all numbers are the ends of the colours.
    let figure = HeatMap::new("", 1, 2, &[f32::MIN, f32::MAX])
        .draw()
        .unwrap();
    for end in [0.0, 1.0] {
        assert!(count(&figure, ColorMap::Viridis.color(end)) > 500);
    }
    for (low, high) in [(f32::NAN, 1.0), (0.0, f32::INFINITY), (1.0, 0.0)] {
        let error = HeatMap::new("", 1, 1, &[1.0])
            .range(low, high)
            .draw()
            .unwrap_err();
        assert!(matches!(error, PlotError::Range { .. }), "{error}");
    }
    let error = HeatMap::new("m", usize::MAX, 2, &[1.0, 2.0])
        .draw()
        .unwrap_err();
    assert!(matches!(error, PlotError::Count { got: 2, .. }), "{error}");
}

#[test]
fn many_pictures_a_row_make_a_wide_figure_or_none() {
    let grid = |count: usize| {
        let grid = ImageGrid::new("", count);
        let grid = (0..count).fold(grid, |grid, _| grid.values("", 1, &[1.0], ColorMap::Gray));
        grid.draw()
    };
    assert!(grid(100).unwrap().width() > 900);
    assert!(matches!(grid(1000), Err(PlotError::TooLarge { .. })));
    let wide = HeatMap::new("", 1, 1, &[1.0]).draw().unwrap();
    let many = vec![wide; 2000];
    assert!(matches!(
        Figure::row(&many),
        Err(PlotError::TooLarge { .. })
    ));
    assert!(matches!(
        Figure::column(&many),
        Err(PlotError::TooLarge { .. })
    ));
}

/// 0, 1, huge, tiny, not a number, infinite, negative, and any other.
fn number() -> impl Strategy<Value = f64> {
    let special = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        5e-324,
        -5e-324,
        1e-300,
        1e16,
        -1e17,
        1e300,
        -1e300,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    prop_oneof![3 => prop::sample::select(special), 1 => any::<f64>(), 1 => -1e3..1e3]
}

fn number_f32() -> impl Strategy<Value = f32> {
    prop_oneof![number().prop_map(|v| v as f32), any::<f32>()]
}

fn size() -> impl Strategy<Value = usize> {
    let special = vec![
        0,
        1,
        2,
        7,
        1000,
        1 << 31,
        1 << 32,
        usize::MAX / 2 + 1,
        usize::MAX - 1,
        usize::MAX,
    ];
    prop_oneof![prop::sample::select(special), 0_usize..40]
}

fn map() -> impl Strategy<Value = ColorMap> {
    use ColorMap::*;
    prop::sample::select(vec![Viridis, Gray, Diverging, Cyclic])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn charts_of_any_numbers_end(
        x in prop::collection::vec(number(), 0..6), y in prop::collection::vec(number(), 0..6),
        low in prop::collection::vec(number(), 0..6), logs in any::<[bool; 2]>()
    ) {
        let mut chart = Chart::new("t").line("a", &x, &y).points("b", &y, &y).band("c", &x, &low, &y);
        if x.len() == y.len() {
            chart = chart.line("d", &low, &low);
        }
        if logs[0] { chart = chart.log_x(); }
        if logs[1] { chart = chart.log_y(); }
        let _ = chart.draw();
        let alone = Chart::new("").line("a", &y, &y);
        let _ = if logs[0] { alone.log_x().log_y() } else { alone }.draw();
        let band = Chart::new("").band("a", &y, &y, &y);
        let _ = band.draw();
    }

    #[test]
    fn bars_of_any_numbers_end(values in prop::collection::vec(number(), 0..6), log in any::<bool>(), more in any::<bool>()) {
        let labels = vec!["a label"; values.len()];
        let mut chart = BarChart::new("t", &labels).bars("a", &values).value_label("v");
        if more { chart = chart.bars("b", &values); }
        if log { chart = chart.log(); }
        let _ = chart.draw();
    }

    #[test]
    fn heat_maps_of_any_numbers_end(
        rows in size(), columns in size(), values in prop::collection::vec(number_f32(), 0..13),
        range in prop::option::of((number_f32(), number_f32())), show in any::<bool>(), map in map()
    ) {
        for (rows, columns) in [(rows, columns), (1, values.len()), (values.len(), 1)] {
            let mut figure = HeatMap::new("t", rows, columns, &values).color_map(map);
            if let Some((low, high)) = range { figure = figure.range(low, high); }
            if show { figure = figure.show_values(); }
            let _ = figure.draw();
        }
    }

    #[test]
    fn grids_of_any_numbers_end(columns in size(), width in size(), values in prop::collection::vec(number_f32(), 0..13), map in map()) {
        let _ = ImageGrid::new("t", columns).values("a", width, &values, map).draw();
        let _ = ImageGrid::new("t", columns).values("a", 1, &values, map).values("b", 1, &values, map).draw();
    }

    #[test]
    fn timelines_of_any_years_end(years in prop::collection::vec(any::<i32>(), 0..5)) {
        let line = years.iter().fold(Timeline::new(""), |line, &year| line.event(year, "a", "b"));
        let _ = line.event(0, "", "").event(i32::MAX, "", "").event(i32::MIN, "", "").draw();
    }

    #[test]
    fn every_number_has_a_colour(value in number_f32(), map in map()) {
        let _ = map.color(value);
    }
}
