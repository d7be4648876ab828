package flow

// UF13xx: schedules.
const ()

func scheduleCodes() []Explanation {
	return []Explanation{}
}
