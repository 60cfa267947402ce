package config

// ServerTLS is how a server shows who it is, and whether its callers have to.
type ServerTLS struct {
	CertFile       string `json:"cert_file"`                // PEM, with the chain
	KeyFile        string `json:"key_file"`                 // PEM
	ClientCAFile   string `json:"client_ca_file,omitempty"` // PEM: who vouches for callers; absent: they are asked for nothing
	ClientOptional bool   `json:"client_optional"`          // with ClientCAFile: a caller may come without a certificate
}

func (t *ServerTLS) validate(path string, bad violation) {
	if t == nil {
		return
	}
	if t.CertFile == "" {
		bad(path+".cert_file", "is required")
	}
	if t.KeyFile == "" {
		bad(path+".key_file", "is required")
	}
	if t.ClientOptional && t.ClientCAFile == "" {
		bad(path+".client_optional", "needs client_ca_file: without it nobody is asked for a certificate")
	}
}
