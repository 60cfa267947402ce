package admin

import "time"

// together is the history of several streams in one. Rates and lags add up, the age is that
// of the oldest; where nobody has measured any of them, nobody has measured the whole.
func together(all []*History) *History {
	out := &History{}
	for _, h := range all {
		if out.Step == 0 || h.From.Before(out.From) {
			out.From, out.Step = h.From, h.Step
		}
	}
	sum := func(a, b float64) float64 { return a + b }
	for _, h := range all {
		if h.Step != out.Step || h.Step == 0 {
			continue // measured otherwise: it cannot be added up
		}
		shift := int(h.From.Sub(out.From) / (time.Duration(h.Step) * time.Second))
		merge(&out.Delivered, h.Delivered, shift, sum)
		merge(&out.DeadLettered, h.DeadLettered, shift, sum)
		merge(&out.Retried, h.Retried, shift, sum)
		merge(&out.Lag, h.Lag, shift, sum)
		merge(&out.LagSeconds, h.LagSeconds, shift, func(a, b float64) float64 { return max(a, b) })
	}
	return out
}

func merge(into *[]*float64, from []*float64, shift int, join func(a, b float64) float64) {
	for i, v := range from {
		at := i + shift
		for len(*into) <= at {
			*into = append(*into, nil)
		}
		switch have := (*into)[at]; {
		case v == nil:
		case have == nil:
			(*into)[at] = new(*v)
		default:
			(*into)[at] = new(join(*have, *v))
		}
	}
}
