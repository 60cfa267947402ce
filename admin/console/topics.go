package console

import "time"

func (v *visit) topics() error {
	t, err := v.service.Topics(v.r.Context())
	if err != nil {
		return err
	}
	return v.live(v.page("Topics", "Topics"), topicsPage(t))
}

func retentionText(seconds int) string {
	if seconds == 0 {
		return "for ever"
	}
	return span(time.Duration(seconds) * time.Second)
}
