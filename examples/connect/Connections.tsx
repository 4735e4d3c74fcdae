import { useEffect, useRef, type DetailedHTMLProps, type HTMLAttributes } from "react";
import type { CredvaultConnectElement } from "./credvault-connect";

type Attributes = DetailedHTMLProps<HTMLAttributes<CredvaultConnectElement>, CredvaultConnectElement>;
declare module "react" {
  namespace JSX { interface IntrinsicElements { "credvault-connect": Attributes & { session: string } } }
}

export function Connections({ session, onChange, onClose }: { session: string; onChange(): void; onClose(): void }) {
  const element = useRef<CredvaultConnectElement>(null);
  useEffect(() => {
    const page = element.current!;
    const changes = ["connected", "disconnected", "removed"] as const;
    for (const name of changes) page.addEventListener(name, onChange);
    page.addEventListener("closed", onClose);
    return () => {
      for (const name of changes) page.removeEventListener(name, onChange);
      page.removeEventListener("closed", onClose);
    };
  }, [onChange, onClose]);
  return <credvault-connect ref={element} session={session} />;
}
