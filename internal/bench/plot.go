package bench

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Plot is a chart of lines over a logarithmic axis, as SVG.
type Plot struct {
	Title, X, Y string
	Series      []Series
}

// Series is one line of a plot.
type Series struct {
	Name   string
	Points []Point
}

// Point is one value.
type Point struct{ X, Y float64 }

const (
	plotWidth, plotHeight         = 640, 360
	plotLeft, plotRight           = 64, 24
	plotTop, plotBottom           = 48, 56
	plotLines                     = 5 // horizontal ones
	plotInk, plotGrid, plotGround = "#444", "#ddd", "#fff"
)

// colours are told apart also by those who do not see all of them.
func colours() []string { return []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7"} }

// SVG draws the plot. It stands on a ground of its own, so that it can be read on dark
// pages too.
func (p Plot) SVG() []byte {
	lowX, highX, highY := math.Inf(1), 0.0, 0.0
	var xs []float64
	for _, s := range p.Series {
		for _, at := range s.Points {
			lowX, highX, highY = min(lowX, at.X), max(highX, at.X), max(highY, at.Y)
			if !slices.Contains(xs, at.X) {
				xs = append(xs, at.X)
			}
		}
	}
	step := niceStep(highY / plotLines)
	topY := max(step, math.Ceil(highY/step)*step)
	x := func(v float64) float64 {
		if highX <= lowX {
			return plotLeft
		}
		return plotLeft + math.Log(v/lowX)/math.Log(highX/lowX)*(plotWidth-plotLeft-plotRight)
	}
	y := func(v float64) float64 { return plotHeight - plotBottom - v/topY*(plotHeight-plotTop-plotBottom) }

	var b strings.Builder
	f := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	f(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="%s">`+"\n", plotWidth, plotHeight, plotWidth, plotHeight, plotInk)
	f(`<rect width="%d" height="%d" fill="%s"/>`+"\n", plotWidth, plotHeight, plotGround)
	f(`<text x="%d" y="24" font-size="14">%s</text>`+"\n", plotLeft, html.EscapeString(p.Title))
	for v := 0.0; v <= topY+step/2; v += step {
		f(`<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="%s"/>`+"\n", plotLeft, plotWidth-plotRight, y(v), y(v), plotGrid)
		f(`<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", plotLeft-8, y(v)+4, number(v))
	}
	for _, v := range xs {
		f(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(v), plotHeight-plotBottom+20, number(v))
	}
	f(`<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (plotLeft+plotWidth-plotRight)/2, plotHeight-12, html.EscapeString(p.X))
	f(`<text x="16" y="%d" text-anchor="middle" transform="rotate(-90 16 %d)">%s</text>`+"\n", plotHeight/2, plotHeight/2, html.EscapeString(p.Y))
	for i, s := range p.Series {
		colour := colours()[i%len(colours())]
		var line []string
		for _, at := range s.Points {
			line = append(line, fmt.Sprintf("%.1f,%.1f", x(at.X), y(at.Y)))
			f(`<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(at.X), y(at.Y), colour)
		}
		f(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(line, " "), colour)
		f(`<text x="%d" y="%d" fill="%s">%s</text>`+"\n", plotLeft+12, plotTop+16*i+4, colour, html.EscapeString(s.Name))
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// niceStep is the smallest of 1, 2 and 5 times a power of ten that is not below v.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= v {
			return n * power
		}
	}
	return 10 * power
}

// number writes v with commas between thousands, and two digits of what is small.
func number(v float64) string {
	if v != math.Trunc(v) {
		return strings.TrimRight(fmt.Sprintf("%.2f", v), "0")
	}
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
