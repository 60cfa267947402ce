package s3store

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// addVersion gives o a version above what was there. The caller holds mu.
func (s *Server) addVersion(o *object) {
	name := o.Bucket + "/" + o.Key
	o.Version = "v" + strconv.Itoa(int(s.ids.Add(1)))
	s.versions[name] = append(s.versions[name], o)
}

// deleteObject answers DeleteObject. With versions it hides the object behind a marker,
// unless the request names a version: that is gone then, if nothing locks it.
func (s *Server) deleteObject(w http.ResponseWriter, r *http.Request, bucket, key string) *failure {
	if f := s.permit("s3:DeleteObject", bucket, key); f != nil {
		return f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, ok := s.buckets[bucket]
	if !ok {
		return noSuchBucket(bucket)
	}
	o, version := keys[key], r.URL.Query().Get("versionId")
	switch {
	case !s.cfg.ObjectLock:
		if o != nil && s.disk != nil {
			if err := s.disk.remove(o); err != nil {
				return internalError(err)
			}
		}
		delete(keys, key)
	case version == "":
		marker := &object{Object: Object{Bucket: bucket, Key: key, Modified: s.now()}, marker: true}
		s.addVersion(marker)
		delete(keys, key)
		w.Header().Set("X-Amz-Delete-Marker", "true")
		w.Header().Set("X-Amz-Version-Id", marker.Version)
	default:
		if f := s.deleteVersion(bucket, key, version, r.Header.Get("X-Amz-Bypass-Governance-Retention") == "true"); f != nil {
			return f
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteVersion removes one version for ever. The caller holds mu.
func (s *Server) deleteVersion(bucket, key, version string, bypass bool) *failure {
	name := bucket + "/" + key
	i := slices.IndexFunc(s.versions[name], func(o *object) bool { return o.Version == version })
	if i < 0 {
		return badRequest("InvalidArgument", "Invalid version id specified")
	}
	if o := s.versions[name][i]; o.locked(s.now()) && (!bypass || o.Lock != "GOVERNANCE" || o.LegalHold) {
		f := accessDenied()
		f.message = "Access Denied because object protected by object lock."
		return f
	}
	s.versions[name] = slices.Delete(s.versions[name], i, i+1)
	delete(s.buckets[bucket], key)
	if n := len(s.versions[name]); n > 0 && !s.versions[name][n-1].marker {
		s.buckets[bucket][key] = s.versions[name][n-1]
	}
	return nil
}

func (o *Object) locked(now time.Time) bool { return o.LegalHold || o.Lock != "" && o.Until.After(now) }

// Locked are the versions that nobody may delete now, hidden ones too.
func (s *Server) Locked() []Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Object
	for _, versions := range s.versions {
		for _, o := range versions {
			if o.locked(s.now()) {
				found = append(found, o.Object)
			}
		}
	}
	return found
}

type lockConfiguration struct {
	XMLName           xml.Name  `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ObjectLockConfiguration"`
	ObjectLockEnabled string    `xml:"ObjectLockEnabled"`
	Rule              *lockRule `xml:",omitempty"`
}

type lockRule struct {
	Mode string `xml:"DefaultRetention>Mode"`
	Days int    `xml:"DefaultRetention>Days"`
}

// lockConfiguration answers GetObjectLockConfiguration.
func (s *Server) lockConfiguration(w http.ResponseWriter, bucket string) *failure {
	if f := s.permit("s3:GetBucketObjectLockConfiguration", bucket, ""); f != nil {
		return f
	}
	s.mu.Lock()
	_, ok := s.buckets[bucket]
	s.mu.Unlock()
	switch {
	case !ok:
		return noSuchBucket(bucket)
	case !s.cfg.ObjectLock:
		return &failure{
			status: http.StatusNotFound, code: "ObjectLockConfigurationNotFoundError",
			message: "Object Lock configuration does not exist for this bucket",
		}
	}
	out := lockConfiguration{ObjectLockEnabled: "Enabled"}
	if s.cfg.DefaultLock != "" {
		out.Rule = &lockRule{Mode: s.cfg.DefaultLock, Days: int(s.cfg.DefaultRetention / (24 * time.Hour))}
	}
	body, err := xml.Marshal(out)
	if err != nil {
		return internalError(err)
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write(append([]byte(xml.Header), body...)) // a client that has gone away needs no answer
	return nil
}
