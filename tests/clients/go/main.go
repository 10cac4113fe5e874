// What programs do with client-go: a typed client, an informer that follows objects through a cut watch, server-side
// apply, the dynamic client with discovery, and an election. KUBECONFIG says where the server is.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	namespace = "go-client"
	patience  = 2 * time.Minute
)

func must(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func check(isSo bool, what string, values ...any) {
	if !isSo {
		must(fmt.Errorf("it is not so: %v", values), what)
	}
}

func eventually(what string, isSo func() bool) {
	for end := time.Now().Add(patience); !isSo(); time.Sleep(50 * time.Millisecond) {
		check(time.Now().Before(end), what)
	}
}

// journal keeps what an informer told, in order.
type journal struct {
	sync.Mutex
	told []string
}

func (j *journal) note(what string, object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	j.Lock()
	defer j.Unlock()
	j.told = append(j.told, what+" "+object.(*corev1.ConfigMap).Name)
}

func (j *journal) has(what string) bool {
	j.Lock()
	defer j.Unlock()
	for _, own := range j.told {
		if own == what {
			return true
		}
	}
	return false
}

func typedAndInformer(ctx context.Context, clients kubernetes.Interface) {
	maps := clients.CoreV1().ConfigMaps(namespace)
	before, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "before"}}, metav1.CreateOptions{})
	must(err, "create")
	factory := informers.NewSharedInformerFactoryWithOptions(clients, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().ConfigMaps()
	told := &journal{}
	_, err = informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { told.note("added", object) },
		UpdateFunc: func(_, object any) { told.note("updated", object) },
		DeleteFunc: func(object any) { told.note("deleted", object) },
	})
	must(err, "handler")
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		check(synced, "the informer is in step", kind)
	}
	_, err = informer.Lister().ConfigMaps(namespace).Get("before")
	must(err, "what was there before is known")

	before.Data = map[string]string{"a": "1"}
	_, err = maps.Update(ctx, before, metav1.UpdateOptions{})
	must(err, "update")
	_, err = maps.Update(ctx, before, metav1.UpdateOptions{})
	check(apierrors.IsConflict(err), "an old object replaces nothing", err)
	applied := applycorev1.ConfigMap("applied", namespace).WithData(map[string]string{"b": "2"})
	_, err = maps.Apply(ctx, applied, metav1.ApplyOptions{FieldManager: "go-client", Force: true})
	must(err, "apply")
	must(maps.Delete(ctx, "before", metav1.DeleteOptions{}), "delete")
	for _, what := range []string{"added before", "updated before", "added applied", "deleted before"} {
		eventually("the informer tells: "+what, func() bool { return told.has(what) })
	}
	left, err := informer.Lister().List(labels.Everything())
	must(err, "list of the informer")
	for _, own := range left {
		check(own.Name != "before", "what is gone is forgotten", own.Name)
	}
	_, err = maps.Get(ctx, "before", metav1.GetOptions{})
	check(apierrors.IsNotFound(err), "what is gone is not found", err)
}

func manyPages(ctx context.Context, clients kubernetes.Interface) {
	maps := clients.CoreV1().ConfigMaps(namespace)
	for number := range 25 {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "page-", Labels: map[string]string{"page": "y"}}}
		_, err := maps.Create(ctx, object, metav1.CreateOptions{})
		must(err, fmt.Sprint("create ", number))
	}
	found, pages := 0, 0
	options := metav1.ListOptions{LabelSelector: "page=y", Limit: 10}
	for {
		page, err := maps.List(ctx, options)
		must(err, "page")
		found, pages = found+len(page.Items), pages+1
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	check(found == 25 && pages == 3, "all pages hold all objects", found, pages)
	must(maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "page=y"}), "delete all")
}

func dynamicClient(ctx context.Context, config *rest.Config, clients kubernetes.Interface) {
	_, lists, err := clients.Discovery().ServerGroupsAndResources()
	must(err, "discovery")
	known := false
	for _, list := range lists {
		for _, resource := range list.APIResources {
			known = known || list.GroupVersion == "apps/v1" && resource.Name == "deployments/scale"
		}
	}
	check(known, "the scale of deployments is discovered")
	objects, err := dynamic.NewForConfig(config)
	must(err, "dynamic client")
	secrets := objects.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace(namespace)
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "dynamic"},
		"stringData": map[string]any{"k": "v"},
	}}
	made, err := secrets.Create(ctx, object, metav1.CreateOptions{})
	must(err, "create dynamically")
	data, _, err := unstructured.NestedString(made.Object, "data", "k")
	must(err, "data")
	check(data == "dg==", "texts become data", data)
}

func election(ctx context.Context, clients kubernetes.Interface) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	led := make(chan struct{})
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Name: "leader", Namespace: namespace},
		Client:     clients.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: "me"},
	}
	go leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: 60 * time.Second, RenewDeadline: 40 * time.Second, RetryPeriod: time.Second,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(led) },
			OnStoppedLeading: func() {},
		},
	})
	select {
	case <-led:
	case <-ctx.Done():
		check(false, "the election has a winner")
	}
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	must(err, "kubeconfig")
	// What is built in is asked for in protobuf, as programs of the cluster do it.
	binary := rest.CopyConfig(config)
	binary.ContentType, binary.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	for _, own := range []*rest.Config{config, binary} {
		clients, err := kubernetes.NewForConfig(own)
		must(err, "client")
		version, err := clients.Discovery().ServerVersion()
		must(err, "version")
		check(version.Major == "1" && version.Minor == "36", "the version is told", version)
		_, err = clients.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
		check(err == nil || apierrors.IsAlreadyExists(err), "namespace", err)
		typedAndInformer(ctx, clients)
		must(clients.CoreV1().ConfigMaps(namespace).Delete(ctx, "applied", metav1.DeleteOptions{}), "tidy up")
		manyPages(ctx, clients)
	}
	clients, err := kubernetes.NewForConfig(config)
	must(err, "client")
	dynamicClient(ctx, config, clients)
	election(ctx, clients)
	fmt.Println("ok")
}
