package process

const doomedEnv = "DOOMED_HOST"

func doomedHost(string) {}
